"""Naturalness without a reference, optional: UTMOS, a network's guess of listeners' mean opinion score.

No package holds its weights, and the usual way to get them runs program code from a repository on the network. So it is
used only when the environment variable ``EVC2_UTMOS`` asks for it:

- ``EVC2_UTMOS=FILE.pt``: a TorchScript file, a program that can reach nothing but tensors (the safer way). It takes a
  wav [1, n] at 16 kHz (and the rate, if it has a second argument) and returns one number. Once, where you trust the
  repository, ``torch.jit.trace`` of its predictor makes such a file.
- ``EVC2_UTMOS=hub``: ``utmos22_strong`` of the repository tarepan/SpeechMOS through ``torch.hub``, from its cache
  or fetched. **This runs that repository's code.**
"""

from __future__ import annotations

import os
import warnings
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from evc2.errors import UserError
from evc2.evaluate.item import Item
from evc2.evaluate.registry import register
from evc2.evaluate.settings import settings
from evc2.evaluate.whisper import reachable

VARIABLE = "EVC2_UTMOS"
HUB = "hub"
REPOSITORY = "tarepan/SpeechMOS:v1.2.0"
MODEL = "utmos22_strong"
RATE = 16000


def utmos_missing() -> str | None:
    """What UTMOS lacks here and how to get it, None when all is there. No code of others is run to find out.

    Raises:
        UserError: ``EVC2_UTMOS`` names a file that does not exist.
    """
    asked = os.environ.get(VARIABLE, "")
    if not asked:
        return (
            f"UTMOS is off: set {VARIABLE}=FILE.pt (a TorchScript file), or {VARIABLE}=hub to run the code of "
            f"{REPOSITORY} from torch.hub"
        )
    if find_spec("torch") is None:
        return "UTMOS needs PyTorch: tools/setup.sh installs it"
    if asked != HUB:
        if not Path(asked).expanduser().is_file():
            raise UserError(f"{VARIABLE}: expected '{HUB}' or a TorchScript file, found no file '{asked}'")
        return None
    if _in_cache() or (settings().download and reachable("https://github.com")):
        return None
    why = "github.com cannot be reached" if settings().download else "fetching is switched off"
    return f"UTMOS: {REPOSITORY} is not in torch.hub's cache and {why}: set {VARIABLE}=FILE.pt (a TorchScript file)"


def utmos(wav: np.ndarray) -> float:
    """Mean opinion score of a wav as UTMOS guesses it.

    Args:
        wav: [n] float32 at 16 kHz, -1 .. 1.

    Returns:
        about 1 .. 5. ValueError where the network fails or gives anything but one number.

    Source: Saeki et al., UTMOS: UTokyo-SaruLab system for VoiceMOS Challenge 2022, Interspeech 2022.
    """
    import torch

    model, takes_rate = _model(os.environ.get(VARIABLE, ""))
    batch = torch.from_numpy(np.ascontiguousarray(wav, dtype=np.float32))[None]
    try:
        with torch.inference_mode():
            score = model(batch, RATE) if takes_rate else model(batch)
    except RuntimeError as error:  # such as a wav shorter than its first layers
        raise ValueError(str(error).strip().splitlines()[-1]) from None
    if score.numel() != 1:
        raise ValueError(f"expected one number of UTMOS, found {tuple(score.shape)}")
    return float(score)


@cache
def _model(asked: str) -> tuple[Any, bool]:
    """The network, loaded once a process, and whether it wants the rate."""
    import torch

    if asked == HUB:
        # The check whether a repository is a fork would ask the network, though all is in the cache.
        model = torch.hub.load(REPOSITORY, MODEL, trust_repo=True, skip_validation=True, verbose=False)
        return model.eval(), True
    try:
        with warnings.catch_warnings():
            # PyTorch points to torch.export, whose programs want their tensors' sizes fixed or named beforehand.
            warnings.simplefilter("ignore", DeprecationWarning)
            model = torch.jit.load(Path(asked).expanduser(), map_location="cpu").eval()
    except (RuntimeError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{VARIABLE}: {asked}: expected a TorchScript file, found: {reason}") from None
    return model, len(model.forward.schema.arguments) > 2  # the first is the module itself


def _in_cache() -> bool:
    import torch

    folder = Path(torch.hub.get_dir())
    code = folder / REPOSITORY.replace("/", "_").replace(":", "_")
    return code.is_dir() and any((folder / "checkpoints").glob("utmos22_strong*"))


def utmos_note() -> str:
    """Which network it was."""
    asked = os.environ.get(VARIABLE, "")
    return f"{MODEL} of {REPOSITORY}" if asked == HUB else f"TorchScript file {Path(asked).name}"


@register(
    "utmos",
    unit="",
    better="higher",
    needs=("wav",),
    digits=2,
    doc="mean opinion score of naturalness as a network guesses it, trained on listening tests of synthetic speech",
    source="Saeki et al., UTMOS: UTokyo-SaruLab system for VoiceMOS Challenge 2022, Interspeech 2022",
    range="1 .. 5",
    available=utmos_missing,
    note=utmos_note,
)
def _utmos(item: Item) -> float:
    return item.converted.memo("utmos", lambda: utmos(item.converted.wav))
