"""Synthetic speech with known pitch, timbre and timing, and small corpora of it on disk."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.signal import lfilter

from evc2.evaluate.analysis import Analysis, evaluation_contract
from evc2.evaluate.item import Item
from evc2.fileio.audio import write_audio

RATE = 16000
VOWELS = {"a": (730, 1090, 2440), "i": (270, 2290, 3010), "u": (300, 870, 2240)}


def contour(seconds, base=140.0, swing=1.0, rate=RATE):
    """A glide with a slow swing: [n] Hz."""
    t = np.linspace(0, 1, int(seconds * rate), endpoint=False)
    return base * np.exp(swing * (0.25 * t + 0.1 * np.sin(2 * np.pi * 2 * t)))


def voice(seconds=0.9, base=140.0, vowels="aiu", level=0.3, silence=0.0, swing=1.0, rate=RATE):
    """Vowels of equal length on a gliding pitch, with `silence` seconds of zeros before and after: [n] float32."""
    f0 = contour(seconds, base, swing, rate)
    phase = np.cumsum(f0) / rate
    pulses = np.diff(np.floor(phase), prepend=0.0)
    parts, edges = [], np.linspace(0, len(f0), len(vowels) + 1).astype(int)
    for vowel, start, stop in zip(vowels, edges[:-1], edges[1:], strict=True):
        part = pulses[start:stop]
        for formant in VOWELS[vowel]:
            radius = np.exp(-np.pi * 90 / rate)
            pole = 2 * np.pi * formant / rate
            part = lfilter([1 - radius], [1, -2 * radius * np.cos(pole), radius**2], part)
        parts.append(part)
    wav = np.concatenate(parts)
    # The noise of a quiet room, 60 dB below the voice: no recording is without it, at no frequency.
    wav = level * (wav / np.abs(wav).max() + 1e-3 * np.random.default_rng(0).standard_normal(len(wav)))
    pad = np.zeros(int(silence * rate))
    return np.concatenate([pad, wav, pad]).astype(np.float32)


@pytest.fixture(scope="session")
def speech():
    """The functions that make signals."""
    return SimpleNamespace(voice=voice, contour=contour, rate=RATE)


@pytest.fixture(scope="session")
def item():
    """Make an Item of wavs at 16 kHz."""
    contract = evaluation_contract()

    def make(converted, reference=None, source=None):
        found = [None if wav is None else Analysis(wav, contract) for wav in (converted, reference, source)]
        return Item("t", "s1", "angry", *found)

    return make


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A data dir with neutral, angry and sad utterances of two speakers, trials, and three systems' wav.scp.

    `good` is the reference a little too high, `f0` the source with the reference's pitch.
    """
    folder = tmp_path_factory.mktemp("corpus")
    data, wavs = folder / "data", folder / "wav"
    data.mkdir()
    tables = {"wav.scp": {}, "utt2spk": {}, "utt2emo": {}, "text": {}}
    trials, systems = [], {"good": {}, "f0": {}, "analysis_synthesis": {}}
    texts = ("ai", "ui", "au")

    def put(name, wav, rate=RATE):
        write_audio(wavs / f"{name}.wav", wav, rate)
        return str(wavs / f"{name}.wav")

    for speaker, base in (("s1", 110.0), ("s2", 190.0)):
        for k, vowels in enumerate(texts):
            for emotion, ratio, seconds in (("neutral", 1.0, 0.6), ("angry", 1.5, 0.5), ("sad", 0.9, 0.7)):
                utt = f"{speaker}-{emotion}-{k}"
                tables["wav.scp"][utt] = put(utt, voice(seconds, base * ratio, vowels))
                tables["utt2spk"][utt] = speaker
                tables["utt2emo"][utt] = emotion
                tables["text"][utt] = vowels
            for emotion, ratio, seconds in (("angry", 1.5, 0.5), ("sad", 0.9, 0.7)):
                trial = f"{speaker}-{emotion}-{k}-t"
                trials.append(f"{trial} {speaker}-neutral-{k} {speaker} {emotion} {speaker}-{emotion}-{k}")
                systems["good"][trial] = put(f"good-{trial}", voice(seconds, base * ratio * 1.02, vowels))
                systems["f0"][trial] = put(f"f0-{trial}", voice(0.6, base * ratio, vowels))
                again = 0.5 * voice(seconds, base * ratio, vowels)
                systems["analysis_synthesis"][trial] = put(f"as-{trial}", again)
    for name, table in tables.items():
        (data / name).write_text("".join(f"{key} {table[key]}\n" for key in sorted(table)))
    (folder / "trials").write_text("".join(f"{line}\n" for line in sorted(trials)))
    for name, table in systems.items():
        (folder / f"{name}.scp").write_text("".join(f"{key} {table[key]}\n" for key in sorted(table)))
    return folder
