"""Files with weights: which of a training to take, and reading them without ever executing what is in them."""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evc2.errors import UserError


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


def read_checkpoint(path: str | Path, device: str = "cpu") -> Any:
    """What a file of torch.save holds, tensors on ``device``; only plain data is accepted.

    Raises:
        UserError: missing, unreadable or damaged file, or one with pickled code, which is not run.
    """
    import torch

    path = Path(path)
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except OSError as error:
        raise UserError(f"{path}: cannot read the weights: {error.strerror or error}") from None
    except pickle.UnpicklingError as error:
        reason = " ".join(str(error).split())
        if "GLOBAL" in reason or "Unsupported class" in reason:  # other operands: the file is no pickle at all
            named = reason.partition("GLOBAL ")[2].split(" ")[0]
            raise UserError(
                f"{path}: this checkpoint holds pickled code{f' ({named})' if named else ''}, which is not run. "
                f"Load it with the program that wrote it, where you trust it, and save its plain state dict: "
                f"torch.save(model.state_dict(), FILE)"
            ) from None
        raise UserError(f"{path}: damaged, or not a file of torch.save ({reason[:200]})") from None
    except Exception as error:  # zip, pickle and tensor code each report damage in errors of their own
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: damaged, or not a file of torch.save ({reason})") from None


def load_weights(path: Path, device: str = "cpu") -> dict[str, Any]:
    """A plain state dict, read by :func:`read_checkpoint`.

    Raises:
        UserError: the file is damaged, holds code, or is something other than name -> tensor.
    """
    import torch

    weights = read_checkpoint(path, device)
    if not isinstance(weights, Mapping) or not all(isinstance(v, torch.Tensor) for v in weights.values()):
        names = f" ({', '.join(map(str, list(weights)[:5]))} ...)" if isinstance(weights, Mapping) else ""
        raise UserError(
            f"{path}: expected a state dict of tensors, found something else{names}; "
            f"the state of a training run is no model: use e.g. valid.mcd.best.pth"
        )
    return dict(weights)
