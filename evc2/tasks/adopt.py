"""Starting from a trained model whose labels (phones, speakers, emotions) are others, or in another order."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.nets.weights import load_weights
from evc2.train.abs_model import AbsEVCModel

LABELS = ("speakers", "emotions", "tokens", "spembs_kind")
"""Keys of system_conf that say what the rows of tables mean."""


def config_beside(weights: str | Path, key: str) -> dict[str, Any]:
    """A key of the configuration of the model directory that weights or a checkpoint lie in.

    Raises:
        UserError: no readable config.yaml there.
    """
    path = Path(weights).parent / "config.yaml"
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))[key]
    except (OSError, yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: expected the configuration of the model that training starts from, which names its labels: "
            f"{error}"
        ) from None


def system_conf_beside(weights: str | Path) -> dict[str, Any]:
    """system_conf of the model directory that weights or a checkpoint lie in; errors as :func:`config_beside`."""
    return config_beside(weights, "system_conf")


def check_resumable(folder: str | Path, conf: Mapping[str, Any]) -> None:
    """UserError where a training in this folder would go on with other labels than it began with."""
    if not (Path(folder) / "checkpoint.pth").is_file() or not (Path(folder) / "config.yaml").is_file():
        return
    try:
        before = system_conf_beside(Path(folder) / "checkpoint.pth")
    except UserError as error:  # a run was killed while espnet2 wrote it; this one writes it anew
        logging.warning("%s; its labels cannot be compared", error)
        return
    for key in LABELS:
        old, new = before.get(key), conf.get(key)
        if key in before and old != new:
            first = (
                next((a, b) for a, b in zip([*old, None], [*new, None], strict=False) if a != b)
                if old and new
                else (old, new)
            )
            raise UserError(
                f"{folder}: holds a training with other {key} than the data have now ({first[0]} became {first[1]}); "
                f"start anew (--resume false; in a recipe --force true), or give this one a folder of its own "
                f"(--evc_tag)"
            )


def adopt(model: AbsEVCModel, path: str) -> str:
    """Copy the rows that belong to labels which both models know; rows of new labels stay as they were drawn.

    Args:
        model: just built, for the new data's labels.
        path: weights of a model directory (``--init_param``); its config.yaml names the old labels.

    Returns:
        what espnet2's ``--init_param`` has to be for all other weights: ``path:::name,name``, those rows left out.

    Raises:
        UserError: no readable config.yaml beside the weights, or a model of other sizes or on other features.
    """
    if not model.label_rows or ":" in path:  # with parts of its own, espnet2's form says all
        return path
    old = system_conf_beside(path)
    theirs = FeatureContract.from_dict(config_beside(path, "feats_contract"), where=f"{path}: feats_contract")
    model.contract.require_same(theirs, mine="these data", theirs=path)
    weights, own = load_weights(Path(path), "cpu"), model.state_dict()
    left_out = tuple(model.label_rows)
    for name in sorted({*weights, *own} - {*left_out}):
        shapes = [tuple(x[name].shape) if name in x else "no such weight" for x in (weights, own)]
        if shapes[0] != shapes[1]:
            raise UserError(
                f"{path}: cannot start from it: {name} has {shapes[0]} there and {shapes[1]} here; the sizes in "
                f"system_conf have to be those of its config.yaml"
            )
    for name, kind in model.label_rows.items():
        if not kind or name not in weights:
            continue
        before, now = list(old.get(kind) or ()), getattr(model, kind)
        if weights[name].shape[1:] != own[name].shape[1:]:
            raise UserError(
                f"{path}: cannot start from it: rows of {name} are {tuple(weights[name].shape[1:])} there and "
                f"{tuple(own[name].shape[1:])} here; the sizes in system_conf have to be those of its config.yaml"
            )
        known = [label for label in now if label in before]
        with torch.no_grad():
            for label in known:
                own[name][now.index(label)] = weights[name][before.index(label)]
        logging.info("%s: %d of %d %s are known from %s", name, len(known), len(now), kind, path)
    return f"{path}:::{','.join(left_out)}"
