"""What voc_train wrote: a folder with config.yaml and weights, or one file of weights in such a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from evc2.errors import UserError, check_keys
from evc2.feats.contract import FeatureContract
from evc2.nets.weights import load_weights, weight_files

if TYPE_CHECKING:
    from evc2.vocoder.abs_vocoder import AbsVocoder

PREFIX = "generator."


def _config(path: Path) -> dict[str, Any]:
    import yaml

    file = (path if path.is_dir() else path.parent) / "config.yaml"
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as plain YAML: {' '.join(str(error).split())[:200]}") from None
    return content if isinstance(content, dict) else {}


def matches(content: Any, path: str | Path) -> bool:
    """Whether there is a config.yaml of voc_train in the folder, or beside the file."""
    config = _config(Path(path))
    return "vocoder" in config and isinstance(config.get("feats_contract"), dict)


def load(
    content: Any, path: str | Path, contract: FeatureContract | None = None, device: str = "cpu", **conf: Any
) -> AbsVocoder:
    """Vocoder of a training; of a folder the best weights by validation.

    Raises:
        UserError: no weights, weights of another network, or the state of a training run.
    """
    from evc2.nets.vocoders import build_generator

    path = Path(path)
    config = _config(path)
    own = FeatureContract.from_dict(config["feats_contract"], where=f"{path}: feats_contract")
    if path.is_dir():
        found = weight_files(path)
        if not found:
            raise UserError(f"{path}: holds no weights yet (*.pth other than checkpoint.pth); has training ended?")
        path = path / found[0]
    settings = config.get("vocoder_conf") or {}
    net = settings.get("net", config["vocoder"])
    generator = build_generator(net, settings.get("generator") or {}, own)
    weights = load_weights(path)
    state = {key.removeprefix(PREFIX): value for key, value in weights.items() if key.startswith(PREFIX)}
    try:
        generator.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not the weights of the {net} generator of config.yaml ({reason})") from None
    if net == "wavernn":
        from evc2.vocoder.wavernn import WaveRNNVocoder

        check_keys(WaveRNNVocoder, conf, "options of this vocoder")
        return WaveRNNVocoder(own, generator, device, **conf)
    from evc2.vocoder.neural import ConvVocoder, check_options

    check_options(conf)
    return ConvVocoder(own, generator, device, **conf)
