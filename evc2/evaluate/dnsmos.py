"""Naturalness without a reference: DNSMOS, a network's guess of what listeners would answer.

It was trained on ratings of noisy speech before and after noise suppression, not of converted voices: a check, and no
stand-in for a listening test. An utterance of 4 s takes 3 s of one core (7 windows of 9 s); leave the metric out, with
--metrics, where that is too long.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from evc2.evaluate.analysis import Analysis
from evc2.evaluate.item import Item
from evc2.evaluate.registry import register

PACKAGE = "speechmos"
RATE = 16000
WINDOW = 144160
"""Samples of a window (9.01 s)."""
HOP = RATE
"""Samples from window to window (1 s)."""
SOURCE = (
    "Reddy et al., DNSMOS P.835: a non-intrusive perceptual objective speech quality metric to evaluate noise "
    "suppressors, ICASSP 2022; P.808: Reddy et al., DNSMOS, ICASSP 2021"
)
SCORES = ("ovrl", "sig", "bak", "p808")

# From the network's raw answers to opinion scores: a x^2 + b x + c, as published with the weights.
_CURVES = {
    "sig": (-0.08397278, 1.22083953, 0.0052439),
    "bak": (-0.13166888, 1.60915514, -0.39604546),
    "ovrl": (-0.06766283, 1.11546468, 0.04602535),
}


def weights_path(name: str) -> Path | None:
    """Where a weight file of the package speechmos is, None where it is not installed. The package is not imported."""
    spec = find_spec(PACKAGE)
    folders = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    return next((path for folder in folders if (path := folder / "dnsmos_models" / name).is_file()), None)


def dnsmos_missing() -> str | None:
    """What DNSMOS lacks here and how to get it, None when all is there."""
    if find_spec("onnxruntime") is None or weights_path("sig_bak_ovr.onnx") is None:
        return (
            "DNSMOS needs the package speechmos (its weights are inside): pip install speechmos, or tools/setup.sh "
            "--extras eval"
        )
    return None


def windows(wav: np.ndarray) -> np.ndarray:
    """Cut into windows of 9.01 s every second; a shorter wav is first doubled until it is long enough.

    The whole wav is laid end to end with itself, silence and all, just as the package speechmos does it (its scores of
    short utterances are those of such a loop, joints included). Of a long one not all is heard (see below).

    Args:
        wav: [n] at 16 kHz, n > 0.

    Returns:
        [K, 144160] float32, K > 0, clipped to -1 .. 1: a resampled wav may swing a little over full scale.
    """
    if len(wav) == 0:
        raise ValueError("an empty wav has no DNSMOS")
    while len(wav) < WINDOW:
        wav = np.concatenate([wav, wav])
    count = int(len(wav) // RATE - WINDOW / RATE) + 1
    # The package ends a window at int((k + 9.01) * 16000), which rounding makes one sample too early for k of 7 to 23,
    # and then leaves it out. Published scores are means without those, so these are too.
    kept = [k for k in range(count) if int((k + WINDOW / RATE) * RATE) - k * HOP == WINDOW]
    cut = np.stack([wav[k * HOP : k * HOP + WINDOW] for k in kept])
    return np.clip(cut, -1.0, 1.0).astype(np.float32)


def dnsmos(wav: np.ndarray) -> dict[str, float]:
    """Opinion scores of a wav, means over its windows.

    Args:
        wav: [n] float32 at 16 kHz, -1 .. 1.

    Returns:
        "ovrl", "sig" (the speech), "bak" (the background; higher is quieter) by P.835 and "p808" (overall, by P.808),
        about 1 .. 5. ValueError for an empty wav.
    """
    cut = windows(wav)
    # One window at a time: a batch of six took as long (0.48 s a window, one thread) and more memory.
    raw = np.concatenate([_session("sig_bak_ovr.onnx").run(None, {"input_1": one[None]})[0] for one in cut])
    answers = zip(("sig", "bak", "ovrl"), raw.T.astype(np.float64), strict=True)
    scores = {name: np.polyval(_CURVES[name], answer) for name, answer in answers}
    mels = (_log_mel(one[:-160])[None] for one in cut)
    scores["p808"] = np.array([_session("model_v8.onnx").run(None, {"input_1": mel})[0][0, 0] for mel in mels])
    return {name: float(np.mean(scores[name])) for name in SCORES}


def _log_mel(wav: np.ndarray) -> np.ndarray:
    """[900, 120] float32, decibels below the loudest band, scaled as the P.808 network was trained."""
    import librosa

    mel = librosa.feature.melspectrogram(y=wav, sr=RATE, n_fft=321, hop_length=160, n_mels=120)
    return ((librosa.power_to_db(mel, ref=np.max) + 40) / 40).T.astype(np.float32)


@cache
def _session(name: str) -> Any:
    """The network, loaded once a process, on one thread: processes, not threads, share the cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(weights_path(name)), options, providers=["CPUExecutionProvider"])


def scores_of(x: Analysis) -> dict[str, float]:
    """The scores of one wav, computed once for all four metrics."""
    return x.memo("dnsmos", lambda: dnsmos(x.wav))


def _score(name: str) -> Callable[[Item], float]:
    return lambda item: scores_of(item.converted)[name]


_DOCS = {
    "ovrl": "DNSMOS, overall quality (P.835) as a network guesses it; wavs shorter than 9.01 s are repeated",
    "sig": "DNSMOS, quality of the speech itself",
    "bak": "DNSMOS, quality of the background, higher is quieter",
    "p808": "DNSMOS, overall quality (P.808) by another network",
}
for _name in SCORES:
    register(
        f"dnsmos_{_name}",
        unit="",
        better="higher",
        needs=("wav",),
        digits=2,
        doc=_DOCS[_name],
        source=SOURCE,
        range="1 .. 5",
        available=dnsmos_missing,
    )(_score(_name))
