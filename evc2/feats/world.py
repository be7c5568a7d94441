"""WORLD analysis and synthesis (Morise, Yokomori and Ozawa, IEICE Trans. 2016), through pyworld.

All arrays that go into pyworld are float64. Everything here runs in the calling thread only.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract

SP_FLOOR = 1e-16
"""Least value of the power envelope: far below the noise of 16-bit audio (about 1e-10), above zero for the log."""


def _pyworld() -> Any:
    with warnings.catch_warnings():
        # pyworld asks pkg_resources for its own version number, which setuptools announces to remove.
        warnings.simplefilter("ignore")
        import pyworld
    return pyworld


def n_frames(n_samples: int, rate: int, frame_period: float) -> int:
    """Frames that WORLD makes of `n_samples`: one at time 0 and one each `frame_period` milliseconds."""
    return int(1000.0 * n_samples / rate / frame_period) + 1


def estimate_f0(
    wav: np.ndarray,
    contract: FeatureContract,
    f0_range: tuple[float, float] | None = None,
    frame_period: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """F0 by DIO refined with StoneMask, or by Harvest (70 times slower, finds more voiced frames).

    Args:
        wav: [n] mono samples at the contract's rate.
        contract: gives method, range and frame period.
        f0_range: (floor, ceil) in Hz instead of the contract's, for a known speaker.
        frame_period: in milliseconds, instead of the contract's.

    Returns:
        F0 in Hz [T] (0 where unvoiced) and the frame times in seconds [T], float64.

    Raises:
        UserError: an empty signal, NaN or infinity, or an impossible range.
    """
    wav = np.ascontiguousarray(wav, dtype=np.float64)
    if wav.ndim != 1:
        raise ValueError(f"expected mono samples [n], got shape {wav.shape}")
    if len(wav) == 0 or not np.isfinite(wav).all():
        raise UserError(f"cannot analyse {'an empty signal' if len(wav) == 0 else 'a signal with NaN or infinity'}")
    floor, ceil = (float(f) for f in f0_range or (contract.f0_floor, contract.f0_ceil))
    if not 0 < floor < ceil < contract.rate / 2:
        raise UserError(f"F0 range: expected 0 < floor < ceil < {contract.rate / 2} Hz, found {floor} and {ceil}")
    options = {"f0_floor": floor, "f0_ceil": ceil, "frame_period": frame_period or contract.frame_period}
    pw = _pyworld()
    if contract.f0_method == "harvest":
        return pw.harvest(wav, contract.rate, **options)
    f0, times = pw.dio(wav, contract.rate, **options)
    return pw.stonemask(wav, f0, times, contract.rate), times


def envelope(
    wav: np.ndarray, contract: FeatureContract, f0_range: tuple[float, float] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """F0 [T], frame times [T] and CheapTrick's power envelope [T, fft_size // 2 + 1], float64.

    The envelope is at least SP_FLOOR, so its logarithm is finite for digital silence too. Arguments and errors as
    for :func:`estimate_f0`.
    """
    if f0_range is not None:
        # Below this CheapTrick's windows would not fit into fft_size and it would take the frame for unvoiced.
        lowest = 3.0 * contract.rate / (contract.fft_size - 3)
        f0_range = (max(float(f0_range[0]), lowest), f0_range[1])
    f0, times = estimate_f0(wav, contract, f0_range)
    wav = np.ascontiguousarray(wav, dtype=np.float64)
    sp = _pyworld().cheaptrick(wav, f0, times, contract.rate, fft_size=contract.fft_size)
    return f0, times, np.maximum(sp, SP_FLOOR, out=sp)


def frame_power(sp: np.ndarray) -> np.ndarray:
    """ln of the sum over bins of a power envelope [T, bins] -> [T]; add 10 / ln 10 times it for dB."""
    return np.log(np.maximum(np.asarray(sp).sum(axis=1), SP_FLOOR))


def code(sp: np.ndarray, contract: FeatureContract) -> np.ndarray:
    """Code a power envelope [T, bins] as WORLD's mel-cepstrum [T, order] (c0 first), float64.

    With x in [0, 1] the position on the mel axis from 40 Hz to half the rate: ln sp = c0 + sqrt(2) sum c_m cos(pi m x).
    """
    return _pyworld().code_spectral_envelope(np.ascontiguousarray(sp, dtype=np.float64), contract.rate, contract.order)


def decode(mcep: np.ndarray, contract: FeatureContract) -> np.ndarray:
    """Power envelope [T, fft_size // 2 + 1] (float64) of a coded one [T, order]."""
    mcep = np.ascontiguousarray(mcep, dtype=np.float64)
    if mcep.ndim != 2 or mcep.shape[1] != contract.order:
        raise ValueError(f"expected a coded envelope [T, {contract.order}], got shape {mcep.shape}")
    return np.maximum(_pyworld().decode_spectral_envelope(mcep, contract.rate, contract.fft_size), SP_FLOOR)


def analyze(
    wav: np.ndarray,
    contract: FeatureContract,
    f0_range: tuple[float, float] | None = None,
    with_envelope: bool = False,
) -> dict[str, np.ndarray]:
    """Analyse one utterance.

    Args:
        wav: [n] mono samples at the contract's rate.
        contract: of kind "world".
        f0_range: (floor, ceil) in Hz of this speaker, instead of the contract's.
        with_envelope: also return what synthesis needs and is not stored; costs D4C, more than all the rest.

    Returns:
        "feats" [T, order] coded envelope with c0, "f0" [T] in Hz (0 = unvoiced), "power" [T] ln of the frame power,
        all float32; with_envelope adds "sp" and "ap" [T, fft_size // 2 + 1], float64.
        T = floor(n / (rate * frame_period / 1000)) + 1.

    Raises:
        UserError: an empty signal, NaN or infinity, or an impossible range.
    """
    f0, times, sp = envelope(wav, contract, f0_range)
    result = {
        "feats": code(sp, contract).astype(np.float32),
        "f0": f0.astype(np.float32),
        "power": frame_power(sp).astype(np.float32),
    }
    if with_envelope:
        wav = np.ascontiguousarray(wav, dtype=np.float64)
        result["sp"] = sp
        result["ap"] = _pyworld().d4c(wav, f0, times, contract.rate, fft_size=contract.fft_size)
    return result


def synthesize(
    f0: np.ndarray, sp: np.ndarray, ap: np.ndarray, contract: FeatureContract, length: int | None = None
) -> np.ndarray:
    """Synthesise speech.

    Args:
        f0: [T] in Hz, 0 where unvoiced.
        sp: [T, fft_size // 2 + 1] power envelope.
        ap: [T, fft_size // 2 + 1] aperiodicity in 0..1.
        contract: of kind "world".
        length: number of samples to return (cut, or filled up with zeros); None for what WORLD makes.

    Returns:
        float32 samples, not clipped.
    """
    f0, sp, ap = (np.ascontiguousarray(array, dtype=np.float64) for array in (f0, sp, ap))
    bins = contract.fft_size // 2 + 1
    if f0.ndim != 1 or sp.shape != (len(f0), bins) or ap.shape != sp.shape:
        raise ValueError(f"expected f0 [T], sp and ap [T, {bins}], got {f0.shape}, {sp.shape} and {ap.shape}")
    wav = _pyworld().synthesize(f0, np.maximum(sp, SP_FLOOR), ap, contract.rate, contract.frame_period)
    if length is not None:
        wav = np.pad(wav[:length], (0, max(0, length - len(wav))))
    return wav.astype(np.float32)
