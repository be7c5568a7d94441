"""Finding and reading the files of a trained model. Nothing in them is ever executed."""

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evc2.errors import UserError, nearest

NEEDED = ("system", "system_conf", "feats_contract")


@dataclass(frozen=True)
class ModelFiles:
    """A model directory after a look at it: its configuration and where statistics and weights lie."""

    folder: Path
    config: dict[str, Any]
    stats: Path
    weights: Path


def read_config(path: Path) -> dict[str, Any]:
    """config.yaml of a training run; a UserError names what is missing in it."""
    import yaml

    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as plain YAML: {' '.join(str(error).split())}") from None
    if not isinstance(config, dict) or any(key not in config for key in NEEDED):
        missing = [key for key in NEEDED if not isinstance(config, dict) or key not in config]
        raise UserError(f"{path}: expected the configuration of a trained system, found no {', '.join(missing)}")
    return config


def weight_files(folder: Path) -> list[str]:
    """Names of the weight files of a model directory, the best choice first; training state is not among them."""

    def rank(name: str) -> tuple[int, int, str]:
        patterns = (
            r"model\.pth",
            r"valid\.mcd_gv\.best\.pth",
            r"valid\.mcd\.best\.pth",
            r"valid\..*\.best\.pth",
            r"valid\..*\.ave_.*\.pth",
        )
        for i, pattern in enumerate(patterns):
            if re.fullmatch(pattern, name):
                return i, 0, name
        epoch = re.fullmatch(r"(\d+)epoch\.pth", name)
        return (len(patterns), -int(epoch[1]), name) if epoch else (len(patterns) + 1, 0, name)

    found = (p.name for p in folder.glob("*.pth") if p.exists() and not p.name.startswith(("checkpoint", ".")))
    return sorted(found, key=rank)


def find_model(folder: str | Path, model_file: str | None = None) -> ModelFiles:
    """Look at a model directory.

    Args:
        folder: exp/<tag>/<phase>, or an opened pack.
        model_file: name of the weights in it; None takes the first of :func:`weight_files`.

    Raises:
        UserError: not a model directory, or no such weights (those that exist are listed).
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: expected a model directory (exp/<tag>/<phase>) or a pack, found nothing")
    for name in ("config.yaml", "stats.npz"):
        if not (folder / name).is_file():
            below = sorted(str(p.parent) for p in folder.glob("*/config.yaml"))
            hint = f"; did you mean {' or '.join(below)}?" if below else ""
            raise UserError(f"{folder}: not a model directory, there is no {name} in it{hint}")
    files = weight_files(folder)
    if model_file is None:
        if not files:
            raise UserError(f"{folder}: holds no weights yet (*.pth other than checkpoint.pth); has training ended?")
        model_file = files[0]
    if Path(model_file).name.startswith("checkpoint"):
        raise UserError(
            f"{model_file} is the state of a training run (it resumes training), not weights for conversion; "
            f"choose one of: {', '.join(files) or 'none so far'}"
        )
    weights = folder / model_file
    if not weights.is_file():
        raise UserError(
            f"{weights}: no such weights{nearest(model_file, files)}; there are: {', '.join(files) or 'none so far'}"
        )
    return ModelFiles(folder, read_config(folder / "config.yaml"), folder / "stats.npz", weights)


def load_weights(path: Path, device: str = "cpu") -> dict[str, Any]:
    """A plain state dict, read without unpickling any code.

    Raises:
        UserError: the file is damaged, holds code, or is something other than name -> tensor.
    """
    import torch

    try:
        weights = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # damage surfaces from zip, pickle and tensor code, in each one's own kind of error
        if isinstance(error, OSError | MemoryError):
            raise
        if isinstance(error, pickle.UnpicklingError) and "Unsupported" in str(error):
            raise UserError(
                f"{path}: holds Python objects or code besides tensors, and is not loaded; "
                f"expected a plain state dict as evc_train and `evc2 pack` write it"
            ) from None
        raise UserError(f"{path}: damaged, or no weights file ({type(error).__name__})") from None
    if not isinstance(weights, Mapping) or not all(isinstance(v, torch.Tensor) for v in weights.values()):
        names = f" ({', '.join(map(str, list(weights)[:5]))} ...)" if isinstance(weights, Mapping) else ""
        raise UserError(
            f"{path}: expected a state dict of tensors, found something else{names}; "
            f"the state of a training run is no model: use e.g. valid.mcd.best.pth"
        )
    return dict(weights)


def fill(model: Any, weights: Mapping[str, Any], path: Path) -> None:
    """Put weights into a model. Only parameters that just training needs (``training_only``) may be absent.

    Raises:
        UserError: names or shapes that do not match the model of config.yaml.
    """
    own = model.state_dict()
    optional = tuple(model.training_only)
    missing = [k for k in own if k not in weights and not k.startswith(optional)]
    surplus = [k for k in weights if k not in own]
    shapes = [k for k in own if k in weights and own[k].shape != weights[k].shape]
    for what, keys in (("lacks", missing), ("has, unlike the model,", surplus), ("has other shapes for", shapes)):
        if keys:
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            raise UserError(
                f"{path}: does not fit the system of config.yaml: it {what} {', '.join(keys[:3])}{more}; "
                f"were the two files made by one training run?"
            )
    model.load_state_dict(weights, strict=False)
