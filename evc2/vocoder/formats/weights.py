"""What the formats share: names of weight-normed parameters, filling a network, files beside a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evc2.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

#: torch's newer names of a weight norm -> those of the published checkpoints.
_PARAMETRIZED = {".parametrizations.weight.original0": ".weight_g", ".parametrizations.weight.original1": ".weight_v"}


def is_state_dict(content: Any) -> bool:
    """Whether this is a non-empty mapping from names to tensors."""
    import torch

    return (
        isinstance(content, Mapping)
        and bool(content)
        and all(isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in content.items())
    )


def old_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names as torch.nn.utils.weight_norm writes them (``weight_g``, ``weight_v``), from either form."""
    renamed = {}
    for key, value in state.items():
        for new, old in _PARAMETRIZED.items():
            key = key.replace(new, old)
        renamed[key] = value
    return renamed


def shape(state: Mapping[str, Tensor], module: str) -> tuple[int, ...] | None:
    """Shape of a convolution's weight, weight-normed or folded; None if it is not there."""
    for name in ("weight_v", "weight"):
        if f"{module}.{name}" in state:
            return tuple(state[f"{module}.{name}"].shape)
    return None


def fill(net: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Put weights, weight-normed or folded, into a network and fold its own weight norm.

    Raises:
        UserError: names or shapes differ; says which, and that the sizes in the configuration may be wrong.
    """
    from evc2.nets.vocoders import plain_weights

    net.remove_weight_norm()
    own = net.state_dict()
    given = plain_weights(state)
    wrong = [f"{key} is missing" for key in own if key not in given]
    wrong += [f"{key} is not part of this network" for key in given if key not in own]
    wrong += [
        f"{key} is {tuple(given[key].shape)}, expected {tuple(own[key].shape)}"
        for key in own
        if key in given and given[key].shape != own[key].shape
    ]
    if wrong:
        raise UserError(
            f"{where}: the weights do not fit the network that its sizes describe: {len(wrong)} parameters differ, "
            f"e.g. {wrong[0]}; is the configuration beside it the one it was trained with?"
        )
    net.load_state_dict(given)


def read_beside(path: Path, name: str, parse: Callable[[str], Any]) -> dict[str, Any] | None:
    """The mapping in a configuration file in the folder of a checkpoint; None if there is no such file.

    Raises:
        UserError: unreadable, or not a mapping.
    """
    import yaml

    file = path.parent / name
    if not file.is_file():
        return None
    try:
        content = parse(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{file}: cannot read the configuration: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(content, dict):
        raise UserError(f"{file}: expected a mapping of settings, found {type(content).__name__}")
    return content


def required(conf: Mapping[str, Any], key: str, where: str | Path) -> Any:
    """A value of a configuration, or a UserError that names the missing key."""
    if key not in conf:
        raise UserError(f"{where}: missing key '{key}'")
    return conf[key]
