"""Published checkpoints of vocoders, recognised by what they hold.

A format is a module here with ``matches(content, path) -> bool`` and ``load(content, path, contract, device, **conf)
-> AbsVocoder``, and a word in :data:`FORMATS`. Nothing in a checkpoint is ever executed.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evc2.errors import UserError
from evc2.nets.weights import read_checkpoint

if TYPE_CHECKING:
    from evc2.feats.contract import FeatureContract
    from evc2.vocoder.abs_vocoder import AbsVocoder

#: The one format that may be a folder.
FOLDER = "evc2_vocoder"
#: Module -> what it reads, for messages.
FORMATS: dict[str, str] = {
    FOLDER: "a folder that voc_train wrote, or a file of weights in it",
    "hifigan": "jik876/hifi-gan generator (g_*, generator_*)",
    "melgan": "descriptinc/melgan-neurips generator (best_netG.pt)",
    "pwg": "ParallelWaveGAN checkpoint (checkpoint-*steps.pkl) or espnet2 joint text2wav model",
    "wavernn": "fatchord/WaveRNN weights",
}


def load_vocoder(
    path: str | Path, contract: FeatureContract | None = None, device: str = "cpu", **conf: Any
) -> AbsVocoder:
    """Vocoder from a file or folder of weights.

    Args:
        path: a checkpoint in one of the :data:`FORMATS`, or a folder of voc_train.
        contract: of the features to come; compared with the vocoder's own at once.
        device: torch device name.
        conf: options of that kind of vocoder.

    Raises:
        UserError: missing, damaged or unknown weights, pickled code, or a contract that cannot be converted.
    """
    path = Path(path)
    content = None if path.is_dir() else read_checkpoint(path)
    for name in FORMATS:
        if path.is_dir() and name != FOLDER:
            continue
        module = import_module(f"{__name__}.{name}")
        if module.matches(content, path):
            vocoder = module.load(content, path, contract, device, **conf)
            if contract is not None:
                vocoder.adapter(contract)
            return vocoder
    known = "; ".join(FORMATS.values())
    if content is None:
        raise UserError(f"{path}: this folder holds no vocoder of voc_train; give the checkpoint file itself ({known})")
    raise UserError(f"{path}: not a known vocoder; found {_outline(content)}; expected {known}")


def _outline(content: Any) -> str:
    """What a checkpoint holds, in a few words."""
    if not isinstance(content, dict):
        return f"a {type(content).__name__}"
    keys = [str(key) for key in content]
    return f"{len(keys)} entries: {', '.join(keys[:5])}{' ...' if len(keys) > 5 else ''}"
