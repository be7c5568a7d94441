"""Log-mel spectrograms in numpy, for every mel definition that a contract can express."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract

POWER_FLOOR = 1e-10


@lru_cache(maxsize=8)
def filterbank(contract: FeatureContract) -> np.ndarray:
    """Mel filters [n_mels, n_fft // 2 + 1] as librosa makes them."""
    from librosa.filters import mel

    return mel(
        sr=contract.rate,
        n_fft=contract.n_fft,
        n_mels=contract.n_mels,
        fmin=contract.fmin,
        fmax=contract.fmax,
        htk=contract.mel_scale == "htk",
        norm=None if contract.mel_norm == "none" else contract.mel_norm,
        dtype=np.float64,
    )


def window(contract: FeatureContract) -> np.ndarray:
    """The periodic analysis window [n_fft]: `win` samples, zeros evenly on both sides."""
    phase = 2 * np.pi * np.arange(contract.win) / contract.win
    a = 0.5 if contract.window == "hann" else 0.54
    left = (contract.n_fft - contract.win) // 2
    return np.pad(a - (1 - a) * np.cos(phase), (left, contract.n_fft - contract.win - left))


def missing_to_mirror(length: int, side: int, pad: str) -> int:
    """Zeros to append to `length` samples before `side` of them can be mirrored at each end; 0 for another padding.

    Mirrored are the samples beside the first and the last one, so a signal needs one more than `side`. (ZeroSpeech has
    snippets with fewer.)
    """
    return max(0, side + 1 - length) if pad == "reflect" else 0


def spectrum(wav: np.ndarray, contract: FeatureContract) -> np.ndarray:
    """Magnitude spectrogram [T, n_fft // 2 + 1], float64.

    Padding: n_fft / 2 on both sides with `center`, else (n_fft - hop) / 2 as in HiFi-GAN (T = n // hop where hop
    divides n), or none. A signal that is too short to be mirrored at its ends counts as followed by zeros, and what is
    shorter than one window is filled up with them to one frame.

    Raises:
        UserError: an empty signal, NaN or infinity.
    """
    wav = np.asarray(wav, dtype=np.float64)
    if wav.ndim != 1:
        raise ValueError(f"expected mono samples [n], got shape {wav.shape}")
    if len(wav) == 0 or not np.isfinite(wav).all():
        raise UserError(f"cannot analyse {'an empty signal' if len(wav) == 0 else 'a signal with NaN or infinity'}")
    if contract.pad != "none":
        side = contract.n_fft // 2 if contract.center else (contract.n_fft - contract.hop) // 2
        length = len(wav) + 2 * side  # also of a signal that gets zeros: frames stand for its own samples only
        wav = np.pad(wav, (0, missing_to_mirror(len(wav), side, contract.pad)))
        wav = np.pad(wav, side, mode=contract.pad)[:length]
    wav = np.pad(wav, (0, max(0, contract.n_fft - len(wav))))
    frames = np.lib.stride_tricks.sliding_window_view(wav, contract.n_fft)[:: contract.hop]
    return np.abs(np.fft.rfft(frames * window(contract), axis=1))


def compress(mel: np.ndarray, contract: FeatureContract) -> np.ndarray:
    """Floor, logarithm and scale of mel values [T, n_mels], as the contract says."""
    mel = mel + contract.floor if contract.floor_place == "add" else np.maximum(mel, contract.floor)
    if contract.log_base == "e":
        value = np.log(mel)
    else:
        value = np.log10(mel) * {"10": 1.0, "db": 20.0 / contract.power}[contract.log_base]
    if contract.scale != "none":
        low, high = contract.scale
        value = np.clip((value - low) / (high - low), 0.0, 1.0)
    return value


def nats(contract: FeatureContract) -> float:
    """How many nats of magnitude a unit of the contract's values is: what makes distances of contracts comparable."""
    p = contract.power  # a logarithm of power is twice that of magnitude; decibels are the same of both
    unit = {"e": 1.0 / p, "10": np.log(10.0) / p, "db": np.log(10.0) / 20.0}[contract.log_base]
    low, high = (0.0, 1.0) if contract.scale == "none" else contract.scale
    return float(unit * (high - low))


def log_mel(wav: np.ndarray, contract: FeatureContract) -> np.ndarray:
    """Log-mel spectrogram [T, n_mels] float32 of mono samples [n] at the contract's rate. Errors as in spectrum()."""
    return _log_mel(spectrum(wav, contract), contract)


def _log_mel(magnitude: np.ndarray, contract: FeatureContract) -> np.ndarray:
    value = magnitude if contract.power == 1.0 else magnitude**2
    return compress(value @ filterbank(contract).T, contract).astype(np.float32)


def analyze(
    wav: np.ndarray, contract: FeatureContract, f0_range: tuple[float, float] | None = None
) -> dict[str, np.ndarray]:
    """Log-mel, power and, where the contract has it, F0 of one utterance.

    Args:
        wav: [n] mono samples at the contract's rate.
        contract: of kind "mel".
        f0_range: (floor, ceil) in Hz of this speaker, instead of the contract's.

    Returns:
        "feats" [T, n_mels], "power" [T] (ln of the frame's summed power spectrum), "f0" [T] in Hz at the middle of
        each frame (0 = unvoiced); float32.
    """
    magnitude = spectrum(wav, contract)
    result = {
        "feats": _log_mel(magnitude, contract),
        "power": np.log(np.maximum((magnitude**2).sum(axis=1), POWER_FLOOR)).astype(np.float32),
    }
    if contract.has_f0:
        result["f0"] = _frame_f0(wav, contract, len(magnitude), f0_range)
    return result


def _frame_f0(
    wav: np.ndarray, contract: FeatureContract, frames: int, f0_range: tuple[float, float] | None
) -> np.ndarray:
    from evc2.feats.world import estimate_f0

    if contract.center:
        middle = 0.0
    else:
        side = 0 if contract.pad == "none" else (contract.n_fft - contract.hop) // 2
        middle = contract.n_fft / 2 - side
    # WORLD's first frame is at time 0, a mel frame's middle need not be: analyse at twice the rate, take the nearest.
    f0, _ = estimate_f0(wav, contract, f0_range, frame_period=500.0 * contract.hop / contract.rate)
    nearest = np.rint(2.0 * (np.arange(frames) + middle / contract.hop)).astype(int)
    inside = nearest < len(f0)
    return np.where(inside, f0[np.minimum(nearest, len(f0) - 1)], 0.0).astype(np.float32)
