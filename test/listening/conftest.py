"""A small corpus of tones with two systems, and listening tests made of it by the command."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from evc2.fileio.audio import write_audio

RATE = 16000


def tone(hertz: float, level: float = 0.2, seconds: float = 0.15) -> np.ndarray:
    """A tone with two overtones, faded in and out: float32 [n]."""
    t = np.arange(round(seconds * RATE)) / RATE
    edge = np.clip(np.minimum(t, seconds - t) / 0.02, 0, 1)
    wav = sum(np.sin(2 * np.pi * hertz * k * t) / k for k in (1, 2, 3))
    return (level * edge * wav / np.abs(wav).max()).astype(np.float32)


def write_corpus(folder: Path, speakers: int = 2, sentences: int = 3) -> Path:
    """data/ and trials of speakers' sentences, neutral to angry; good.scp and buzz.scp with wavs of two systems."""
    tables: dict[str, dict[str, str]] = {name: {} for name in ("wav.scp", "utt2spk", "utt2emo", "text", "spk2gender")}
    trials, systems = [], {"good": {}, "buzz": {}}

    def put(name: str, hertz: float, level: float) -> str:
        write_audio(folder / "wav" / f"{name}.wav", tone(hertz, level), RATE)
        return str(folder / "wav" / f"{name}.wav")

    for s in range(speakers):
        speaker = f"spk{s}"
        tables["spk2gender"][speaker] = "f"
        for k in range(sentences):
            base = 150.0 + 70 * s + 9 * k
            for emotion, ratio, level in (("neutral", 1.0, 0.1), ("angry", 1.4, 0.4)):
                utt = f"{speaker}-{emotion}-{k}"
                tables["wav.scp"][utt] = put(utt, base * ratio, level)
                tables["utt2spk"][utt], tables["utt2emo"][utt] = speaker, emotion
                tables["text"][utt] = f"sentence {k}"
            trial = f"{speaker}-{k}-to-angry"
            trials.append(f"{trial} {speaker}-neutral-{k} {speaker} angry {speaker}-angry-{k}\n")
            for name, ratio in (("good", 1.38), ("buzz", 1.1)):
                systems[name][trial] = put(f"{name}-{trial}", base * ratio, 0.3)
    (folder / "data").mkdir()
    for name, table in tables.items():
        (folder / "data" / name).write_text("".join(f"{key} {table[key]}\n" for key in sorted(table)))
    for name, table in systems.items():
        (folder / f"{name}.scp").write_text("".join(f"{key} {table[key]}\n" for key in sorted(table)))
    (folder / "trials").write_text("".join(sorted(trials)))
    return folder


def make(corpus: Path, out: Path, *words: str) -> SimpleNamespace:
    """Run make_listening_test; the folder of the test, its public definition, and its key."""
    from evc2.bin.make_listening_test import main
    from evc2.listening.definition import Definition

    systems = [word for name in ("good", "buzz") for word in ("--system", f"{name}={corpus / name}.scp")]
    fixed = ["--trials", str(corpus / "trials"), "--data_dir", str(corpus / "data"), "--out", str(out)]
    sizes = [] if "--num_trials" in words else ["--num_trials", "6", "--per_listener", "4"]
    main([*fixed, *systems, *sizes, *words, "--verbose", "0"])
    key = json.loads((out / "private" / "key.json").read_text())
    return SimpleNamespace(folder=out, test=Definition.load(out), key=key)


@pytest.fixture(scope="session")
def listening_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("listening"))


@pytest.fixture
def made(listening_corpus: Path, tmp_path: Path) -> SimpleNamespace:
    """A test of all three kinds: 6 trials, 4 items a listener and kind, one check, two practice items."""
    return make(listening_corpus, tmp_path / "test")


@pytest.fixture(scope="session")
def load() -> SimpleNamespace:
    """The functions that make corpora and tests."""
    return SimpleNamespace(make=make, write_corpus=write_corpus)
