"""Generated material for scripts that need some: speech-like sound, data directories, feature directories."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import soundfile
from feats import RATE, speech_like

from evc2.feats.contract import FeatureContract
from evc2.feats.stats import Stats
from evc2.fileio.ark import ArkWriter
from evc2.fileio.datadir import Trial, write_table, write_trials

CONF = Path(__file__).parents[2] / "egs/TEMPLATE/evc1/conf"
EMOTIONS = ("neutral", "angry")


def make_features(folder: Path, count: int, contract: FeatureContract, seed: int = 0) -> Stats:
    """A feature directory of random features: `count` utterances of each of two speakers in two emotions.

    Returns:
        their statistics, not saved.
    """
    rng, stats = np.random.default_rng(seed), Stats()
    folder.mkdir(parents=True)
    contract.save(folder / "feats.yaml")
    spk, emo, trials = {}, {}, []
    names = ("feats", "f0", "power") if contract.kind == "world" else ("feats",)
    utterances = [(s, i, e) for s in ("s1", "s2") for i in range(count) for e in EMOTIONS]
    with ExitStack() as stack:
        writers = {n: stack.enter_context(ArkWriter(folder / f"{n}.ark", folder / f"{n}.scp")) for n in names}
        for speaker, i, emotion in utterances:
            utt, frames = f"{speaker}-{emotion}-{i:04d}", int(rng.integers(200, 400))
            values = {"feats": rng.normal(emotion == "angry", 0.5, (frames, contract.dim)).astype(np.float32)}
            values["f0"] = np.where(rng.random(frames) < 0.7, rng.normal(200, 20, frames), 0).astype(np.float32)
            values["power"] = rng.normal(-5, 1, frames).astype(np.float32)
            for name, writer in writers.items():
                writer[utt] = values[name]
            stats.add(speaker, emotion, *values.values())
            spk[utt], emo[utt] = speaker, emotion
            if emotion == EMOTIONS[0]:
                reference = f"{speaker}-{EMOTIONS[1]}-{i:04d}"
                trials.append(Trial(f"{utt}-to-{EMOTIONS[1]}", utt, speaker, EMOTIONS[1], reference))
    write_table(folder / "utt2spk", spk)
    write_table(folder / "utt2emo", emo)
    write_table(folder / "wav.scp", {utt: f"wav/{utt}.wav" for utt in spk})
    write_trials(folder / "trials", trials)
    return stats


def make_recordings(folder: Path, seconds: Sequence[float], contract: FeatureContract, seed: int = 0) -> list[Path]:
    """A data directory of 16-bit recordings at a contract's rate; the wavs' paths."""
    rng, wavs = np.random.default_rng(seed), {}
    (folder / "wav").mkdir(parents=True)
    contract.save(folder / "feats.yaml")
    for number, length in enumerate(seconds):
        path = folder / "wav" / f"s-{number:04d}.wav"
        soundfile.write(path, speech_like(length * contract.rate / RATE, rng), contract.rate)
        wavs[path.stem] = path
    write_table(folder / "wav.scp", wavs)
    write_table(folder / "utt2spk", dict.fromkeys(wavs, "s"))
    write_table(folder / "utt2num_samples", {utt: soundfile.info(path).frames for utt, path in wavs.items()})
    return list(wavs.values())
