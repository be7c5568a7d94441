"""Checkpoints of fatchord/WaveRNN (``latest_weights.pyt``: a state dict of the "alternative model")."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evc2.errors import UserError, check_keys
from evc2.feats.contract import FeatureContract

#: Features of the published weights: that repository's hparams.py for LJSpeech. fmax is half the rate.
PUBLISHED = {
    "name": "wavernn",
    "kind": "mel",
    "rate": 22050,
    "n_fft": 2048,
    "hop": 275,
    "win": 1100,
    "window": "hann",
    "center": True,
    "pad": "reflect",
    "power": 1,
    "n_mels": 80,
    "fmin": 40,
    "fmax": None,
    "mel_scale": "slaney",
    "mel_norm": "slaney",
    "log_base": "db",
    "floor": 1e-5,
    "floor_place": "clip",
    "scale": [-100, 0],
}

_NAMES = (
    (r"I\.", "input."),
    (r"fc([12])\.", r"hidden\1."),
    (r"fc3\.", "output."),
    (r"upsample\.resnet\.conv_in\.", "frame_net.0."),
    (r"upsample\.resnet\.batch_norm\.", "frame_net.1."),
)
_BLOCK = {"conv1": 0, "batch_norm1": 1, "conv2": 3, "batch_norm2": 4}
_KEYS = ("I.weight", "rnn1.weight_ih_l0", "rnn2.weight_ih_l0", "fc3.weight", "upsample.resnet.conv_in.weight")


def _state(content: Any) -> Mapping[str, Any]:
    # Real-Time-Voice-Cloning keeps the same names one level down, beside its optimizer.
    inner = content.get("model_state", content) if isinstance(content, Mapping) else {}
    return inner if isinstance(inner, Mapping) else {}


def matches(content: Any, path: str | Path) -> bool:
    """Whether the loaded content has that repository's parameter names."""
    state = _state(content)
    return all(key in state for key in _KEYS)


def sizes(state: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of :class:`evc2.nets.wavernn.WaveRNN` that the shapes of the parameters tell.

    Raises:
        UserError: a number of outputs that is neither a power of two nor the mixture's 30.
    """
    conv, kernels = state["upsample.resnet.conv_in.weight"], _kernels(state)
    scales = [(state[key].numel() - 1) // 2 for key in kernels]
    classes = state["fc3.weight"].shape[0]
    if classes != 30 and classes & (classes - 1):
        raise UserError(f"WaveRNN with {classes} outputs: expected a power of two (mu-law classes) or 30 (mixture)")
    return {
        "n_mels": conv.shape[1],
        "hop": math.prod(scales),
        "upsample_scales": scales,
        "mode": "mol" if classes == 30 else "raw",
        "bits": 16 if classes == 30 else classes.bit_length() - 1,
        "rnn_dims": state["I.weight"].shape[0],
        "fc_dims": state["fc3.weight"].shape[1],
        "compute_dims": conv.shape[0],
        "res_out_dims": state["upsample.resnet.conv_out.weight"].shape[0],
        "res_blocks": _blocks(state),
        "pad": (conv.shape[2] - 1) // 2,
    }


def _kernels(state: Mapping[str, Any]) -> list[str]:
    keys = [key for key in state if re.fullmatch(r"upsample\.up_layers\.\d+\.weight", key)]
    return sorted(keys, key=lambda key: int(key.split(".")[2]))


def _blocks(state: Mapping[str, Any]) -> int:
    return len({key.split(".")[3] for key in state if key.startswith("upsample.resnet.layers.")})


def our_names(state: Mapping[str, Any]) -> dict[str, Any]:
    """That repository's parameters under the names of :class:`evc2.nets.wavernn.WaveRNN`, without its step count."""
    renamed = {}
    kernels, end = _kernels(state), 3 + _blocks(state)
    for key, value in state.items():
        block = re.fullmatch(r"upsample\.resnet\.layers\.(\d+)\.(\w+)\.(\w+)", key)
        if key == "step":
            continue
        if key in kernels:
            renamed[f"stretch.{kernels.index(key)}.kernel"] = value.flatten()
        elif block and block[2] in _BLOCK:
            renamed[f"frame_net.{3 + int(block[1])}.layers.{_BLOCK[block[2]]}.{block[3]}"] = value
        elif key.startswith("upsample.resnet.conv_out."):
            renamed[f"frame_net.{end}.{key.rpartition('.')[2]}"] = value
        else:
            for pattern, name in _NAMES:
                key = re.sub(f"^{pattern}", name, key)
            renamed[key] = value
    return renamed


def load(content: Any, path: str | Path, contract: FeatureContract | None, device: str = "cpu", **conf: Any) -> Any:
    """The vocoder of a checkpoint.

    The file does not say what its mels are. With hop 275 they are taken to be those of the published weights; for
    others ``mel``, the path of a feature contract (YAML), must say it.

    Args:
        content: what the file holds.
        path: for messages.
        contract: of the features to come; the caller compares it with the vocoder's.
        device: torch device name.
        conf: ``mel``, and options of :class:`evc2.vocoder.wavernn.WaveRNNVocoder`.

    Raises:
        UserError: unknown mels or option, or damaged content.
    """
    from evc2.nets.wavernn import WaveRNN
    from evc2.vocoder.wavernn import WaveRNNVocoder

    state = _state(content)
    options = dict(conf)
    mel = options.pop("mel", None)
    check_keys(WaveRNNVocoder, options, "the WaveRNN vocoder")
    try:
        arguments = sizes(state)
        net = WaveRNN(**arguments)
        # num_batches_tracked came with later versions of torch; it changes nothing in use.
        tracked = {k: v for k, v in net.state_dict().items() if k.endswith("num_batches_tracked")}
        net.load_state_dict({**tracked, **our_names(state)})
    except (KeyError, IndexError, AttributeError, TypeError, RuntimeError, ZeroDivisionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not the weights of a fatchord WaveRNN ({type(error).__name__}: {reason})") from None
    if mel is not None:
        own = FeatureContract.load(mel)
    elif arguments["hop"] == PUBLISHED["hop"] and arguments["n_mels"] == PUBLISHED["n_mels"]:
        own = FeatureContract.from_dict(PUBLISHED)
    else:
        raise UserError(
            f"{path}: a WaveRNN of {arguments['n_mels']} mels and hop {arguments['hop']}; only those of 80 mels and "
            f"hop {PUBLISHED['hop']} have known features: give the option mel, the path of a feature contract (YAML)"
        )
    # Published generation pads with silence; published training pairs sample n + 1 with the conditioning of sample n.
    return WaveRNNVocoder(own, net.eval(), device, **{"edges": "silence", "ahead": 1, **options})
