"""Finding and reading the files of a trained model. Nothing in them is ever executed."""

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evc2.errors import UserError, nearest
from evc2.feats.contract import FeatureContract
from evc2.feats.stats import Stats
from evc2.fileio.pack import open_pack
from evc2.nets.weights import load_weights, weight_files
from evc2.systems import build

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


def check_device(name: str) -> str:
    """Return the name of a torch device that this machine has.

    Raises:
        UserError: no device name, or a GPU where torch finds none.
    """
    import torch

    try:
        gpu = torch.device(name).type == "cuda"
    except RuntimeError:
        raise UserError(f"device '{name}' is not a device name; use cpu, cuda or cuda:N") from None
    if gpu and not torch.cuda.is_available():
        raise UserError(f"device '{name}': this machine offers no GPU to torch; use --device cpu")
    return name


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


def contract_of(path: str | Path) -> FeatureContract:
    """Feature contract of a model directory or a pack, without reading its weights."""
    with ExitStack() as stack:
        path = Path(path)
        folder = stack.enter_context(open_pack(path)) if path.is_file() else path
        return FeatureContract.from_dict(find_model(folder).config["feats_contract"])


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


def load_model(path: str | Path, model_file: str | None, device: str) -> tuple[Any, list[str] | None]:
    """Load the system of a model directory or pack, and the emotions it was trained with (None: not noted).

    Args:
        path: the directory or the .zip file.
        model_file: name of the weights in a directory; None takes the best by validation.
        device: torch device name.

    Returns:
        the model, on the device, in evaluation mode, with ``contract`` and ``stats``.

    Raises:
        UserError: missing, damaged or foreign files; weights that hold code; no such device.
    """
    check_device(device)
    with ExitStack() as stack:
        path = Path(path)
        folder = stack.enter_context(open_pack(path)) if path.is_file() else path
        files = find_model(folder, model_file)
        contract = FeatureContract.from_dict(files.config["feats_contract"])
        model = build(files.config["system"], files.config["system_conf"] or {})
        fill(model, load_weights(files.weights, "cpu"), files.weights)
        model.stats, model.contract = Stats.load(files.stats), contract
        model.check_contract()
    logging.info("model %s, %s, on %s", path, files.weights.name, device)
    return model.to(device).eval(), (files.config.get("labels") or {}).get("emotions")
