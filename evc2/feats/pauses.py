"""Cutting long pauses inside an utterance: a detector says where speech is, and what lies well between is dropped."""

from __future__ import annotations

import numpy as np

from evc2.errors import UserError

DETECTORS = ("energy", "webrtc")
WINDOW_SECONDS = 0.03
SMOOTHING = 8  # windows of the moving average
DILATION = 17  # windows: speech reaches half of them beyond itself on both sides, so a pause keeps 16 (0.48 s)

FLOOR_WINDOWS = DILATION - 1  # of the shortest pause that anything is cut of: the noise floor is looked for in such
LOUD_PERCENTILE = 95  # windows of this rank give the level of speech
MARGIN_DB = 3.0  # what is less than this above the noise floor is a pause
DEPTH_DB = 40.0  # what is this far below speech is a pause whatever the noise, as in trimming
NO_CONTRAST_DB = 20.0  # less between noise and speech: no telling them apart

WEBRTC_MODE = 3  # of 0 to 3: the one that takes least for speech
WEBRTC_RATE = 16000
WEBRTC_RATES = (8000, 16000, 32000, 48000)


def edges(n: int, rate: int) -> np.ndarray:
    """First samples of the windows of n samples, and n: [windows + 1]. The last window takes the rest too."""
    windows = max(1, int(n / (WINDOW_SECONDS * rate)))
    return np.append(np.round(np.arange(windows) * WINDOW_SECONDS * rate).astype(int), n)


def energy_flags(wav: np.ndarray, rate: int) -> np.ndarray:
    """Tell speech by its level in the recording's own noise.

    The noise floor is the level that the quietest 0.48 s never exceed: without a pause that long there is a vowel in
    every such stretch, and next to nothing is cut. The level of speech is that of the window of rank 95 %. A window is
    speech from 3 dB above the floor on; but nothing 40 dB below speech is. Where floor and speech are less than 20 dB
    apart all is speech.

    Args:
        wav: [n] samples.
        rate: in Hz.

    Returns:
        A flag for each window of `edges`: bool [windows].
    """
    at = edges(len(wav), rate)
    wav = np.asarray(wav, dtype=np.float64)
    energy = np.append(0.0, np.cumsum((wav - wav.mean()) ** 2))
    power = np.maximum(np.diff(energy[at]) / np.diff(at), 1e-12)
    power_db = 10 * np.log10(power)
    floor = np.lib.stride_tricks.sliding_window_view(power_db, min(FLOOR_WINDOWS, len(power))).max(axis=1).min()
    loud = np.percentile(power_db, LOUD_PERCENTILE)
    if loud - floor < NO_CONTRAST_DB:
        return np.ones(len(power), dtype=bool)
    return power_db >= max(floor + MARGIN_DB, loud - DEPTH_DB)


def webrtc_flags(wav: np.ndarray, rate: int) -> np.ndarray:
    """Tell speech by WebRTC's detector in its strictest mode, which depends on the recording's level.

    Args, Returns: as `energy_flags`. Other rates than the detector's are heard at 16 kHz.

    Raises:
        UserError: the package is not installed.
    """
    try:
        import webrtcvad
    except ImportError:
        raise UserError(
            "--vad webrtc needs the package webrtcvad: pip install webrtcvad-wheels (or tools/setup.sh --extras vad); "
            "or take --vad energy"
        ) from None
    at, heard = edges(len(wav), rate), rate
    if rate not in WEBRTC_RATES:
        import soxr

        wav, heard = soxr.resample(np.asarray(wav, dtype=np.float32), rate, WEBRTC_RATE), WEBRTC_RATE
    size = round(WINDOW_SECONDS * heard)
    windows = len(at) - 1
    samples = np.zeros(windows * size, dtype="<i2")
    pcm = np.round(np.clip(wav, -1.0, 1.0) * 32767.0).astype("<i2")[: len(samples)]
    samples[: len(pcm)] = pcm
    detector = webrtcvad.Vad(WEBRTC_MODE)  # a new one each time: it adapts to what it hears
    frames = samples.reshape(windows, size)
    return np.array([detector.is_speech(frame.tobytes(), heard) for frame in frames], dtype=bool)


def smooth(flags: np.ndarray) -> np.ndarray:
    """Majority of the 8 windows around each flag [windows] (fewer at the ends), then 8 windows more on both sides."""
    before, after = (SMOOTHING - 1) // 2, SMOOTHING // 2
    count = np.append(0, np.cumsum(flags))
    index = np.arange(len(flags))
    first, last = np.maximum(0, index - before), np.minimum(len(flags), index + after + 1)
    held = 2 * (count[last] - count[first]) > last - first  # a half is no majority
    return np.convolve(held, np.ones(DILATION))[DILATION // 2 :][: len(held)] > 0.5


def cut_pauses(wav: np.ndarray, rate: int, detector: str = "energy") -> np.ndarray:
    """Return the samples [m <= n] of an utterance [n] without what is beyond about half a second of its pauses.

    Empty if there is no speech at all.

    Args:
        wav: [n] mono samples in [-1, 1].
        rate: in Hz.
        detector: "energy" or "webrtc".

    Source: the published VAE-GAN's preprocessing (windows of 30 ms, average over 8, dilation by 17); its average counts
    what lies beyond the ends as silence, which would lose very short utterances, ours leaves it out.

    Raises:
        UserError: an unknown detector, or its package is missing.
    """
    if detector not in DETECTORS:
        raise UserError(f"--vad: expected {' or '.join(DETECTORS)}, found '{detector}'")
    if len(wav) == 0:
        return wav
    flags = energy_flags(wav, rate) if detector == "energy" else webrtc_flags(wav, rate)
    kept = np.repeat(smooth(flags), np.diff(edges(len(wav), rate)))
    return wav if kept.all() else wav[kept]
