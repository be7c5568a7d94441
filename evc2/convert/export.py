"""A model directory into one file that `evc2 convert --model` accepts."""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evc2.convert.loading import fill, find_model
from evc2.errors import UserError
from evc2.feats.stats import Stats
from evc2.fileio.pack import write_pack
from evc2.nets.weights import load_weights

#: What conversion reads; kept whatever it holds.
KEPT = ("system", "system_conf", "feats_contract", "labels")
_PATH_KEY = re.compile(r"(output_dir|config|.*_(dir|file|files|path|paths|scp|list|name_and_type)|init_param|.*_root)")


def _is_path(value: Any) -> bool:
    if isinstance(value, str):
        return "/" in value or "\\" in value or value.startswith("~")
    if isinstance(value, Mapping):
        return any(_is_path(v) for v in value.values())
    return isinstance(value, list | tuple) and any(_is_path(v) for v in value)


def portable_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without what only meant something on the machine that trained: files and folders."""
    return {k: v for k, v in config.items() if k in KEPT or not (_PATH_KEY.fullmatch(k) or _is_path(v))}


def pack_model(model_dir: str | Path, out: str | Path, model_file: str | None = None) -> Path:
    """Pack configuration, statistics and weights; parameters that only training needs are left out.

    Args:
        model_dir: exp/<tag>/<phase>.
        out: the .zip file to write.
        model_file: name of the weights; None takes the best by validation.

    Returns:
        The weights that were taken.

    Raises:
        UserError: as for loading the model: what cannot be loaded is not packed.
    """
    import torch
    import yaml

    from evc2.systems import build

    if Path(out).suffix != ".zip":
        raise UserError(f"{out}: expected a name that ends with .zip")
    files = find_model(model_dir, model_file)
    Stats.load(files.stats)
    weights = load_weights(files.weights)
    model = build(files.config["system"], files.config["system_conf"] or {})
    fill(model, weights, files.weights)
    weights = {k: v.clone() for k, v in weights.items() if not k.startswith(tuple(model.training_only))}
    with tempfile.TemporaryDirectory(prefix="evc2-pack-") as folder:
        config, state = Path(folder) / "config.yaml", Path(folder) / "model.pth"
        config.write_text(yaml.safe_dump(portable_config(files.config), sort_keys=True), encoding="utf-8")
        torch.save(weights, state)
        write_pack(out, {"config.yaml": config, "stats.npz": files.stats, "model.pth": state})
    return files.weights
