"""Starting from a trained model whose labels (phones, speakers, emotions) are others, or in another order."""

import logging
from pathlib import Path

import torch
import yaml

from evc2.errors import UserError
from evc2.nets.weights import load_weights
from evc2.train.abs_model import AbsEVCModel


def adopt(model: AbsEVCModel, path: str) -> str:
    """Copy the rows that belong to labels which both models know; rows of new labels stay as they were drawn.

    Args:
        model: just built, for the new data's labels.
        path: weights of a model directory (``--init_param``); its config.yaml names the old labels.

    Returns:
        what espnet2's ``--init_param`` has to be for all other weights: ``path:::name,name``, those rows left out.

    Raises:
        UserError: no readable config.yaml beside the weights, or a table of another width.
    """
    if not model.label_rows or ":" in path:  # with parts of its own, espnet2's form says all
        return path
    config = Path(path).parent / "config.yaml"
    try:
        old = yaml.safe_load(config.read_text(encoding="utf-8"))["system_conf"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise UserError(
            f"{config}: expected the configuration of the model that training starts from: {error}"
        ) from None
    weights, own = load_weights(Path(path), "cpu"), model.state_dict()
    for name, kind in model.label_rows.items():
        before, now = list(old.get(kind) or ()), getattr(model, kind)
        if name not in weights:
            continue
        if weights[name].shape[1:] != own[name].shape[1:]:
            raise UserError(
                f"{path}: {name} has rows of {tuple(weights[name].shape[1:])}, this model of "
                f"{tuple(own[name].shape[1:])}; start from a model of the same sizes"
            )
        known = [label for label in now if label in before]
        with torch.no_grad():
            for label in known:
                own[name][now.index(label)] = weights[name][before.index(label)]
        logging.info("%s: %d of %d %s are known from %s", name, len(known), len(now), kind, path)
    return f"{path}:::{','.join(model.label_rows)}"
