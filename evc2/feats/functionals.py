"""Functionals: one vector of fixed length from the features of an utterance, however long it is."""

from __future__ import annotations

import numpy as np

from evc2.feats.moments import speech_mask


def functionals(feats: np.ndarray, f0: np.ndarray | None = None, power: np.ndarray | None = None) -> np.ndarray:
    """Statistics of an utterance over time, in this order.

    Each of the D features: means, then deviations (both over speech frames, where power tells them), then mean
    absolute changes from frame to frame. ln F0 over voiced frames: mean, deviation, 5th and 95th percentile, mean
    absolute change between neighbours; share of voiced frames; voiced stretches a frame. ln power over speech frames:
    the same five; share of speech frames.

    Args:
        feats, f0, power: [T, D]; [T] in Hz, 0 where unvoiced; ln power [T]. The latter two may be None.

    Returns:
        [3 D (+ 7 with f0) (+ 6 with power)] float64; NaN for what only a voiced frame could tell, where there is none.

    Raises:
        ValueError: no frames, or numbers of frames that differ.
    """
    feats = np.asarray(feats, dtype=np.float64)
    lengths = {len(a) for a in (feats, f0, power) if a is not None}
    if feats.ndim != 2 or len(lengths) != 1 or lengths == {0}:
        shapes = [None if a is None else np.shape(a) for a in (feats, f0, power)]
        raise ValueError(f"expected feats [T, D], f0 [T] and power [T] of equal T > 0, got shapes {shapes}")
    speech = np.ones(len(feats), bool) if power is None else speech_mask(power)
    change = np.abs(np.diff(feats, axis=0)).mean(0) if len(feats) > 1 else np.zeros(feats.shape[1])
    found = [feats[speech].mean(0), feats[speech].std(0), change]
    if f0 is not None:
        f0 = np.asarray(f0, dtype=np.float64)
        voiced = f0 > 0
        both = voiced[1:] & voiced[:-1]
        lf0 = np.log(np.where(voiced, f0, 1.0))
        stretches = np.count_nonzero(np.diff(np.concatenate([[False], voiced]).astype(int)) > 0)
        found += [_curve(lf0, voiced, both), [voiced.mean(), stretches / len(f0)]]
    if power is not None:
        power = np.asarray(power, dtype=np.float64)
        found += [_curve(power, speech, speech[1:] & speech[:-1]), [speech.mean()]]
    return np.concatenate(found)


def _curve(values: np.ndarray, chosen: np.ndarray, both: np.ndarray) -> list[float]:
    if not chosen.any():
        return [np.nan] * 5
    x, change = values[chosen], np.abs(np.diff(values))[both]
    low, high = np.percentile(x, (5, 95))
    return [x.mean(), x.std(), low, high, change.mean() if len(change) else 0.0]
