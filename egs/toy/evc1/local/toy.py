#!/usr/bin/env python3
"""Generate the toy corpus: 4 voices x 4 emotions x 16 sentences, spoken by espeak-ng; then its manifest.

An emotion is a setting of espeak's pitch, pitch range, rate and volume, a little different from sentence to sentence,
and a spectral tilt by a first-order filter, as effort tilts a real voice's spectrum: so there is something to learn
for prosody and for spectrum. The corpus is the same, byte for byte, for one seed and one version of espeakng-loader.
"""

import json
import logging
import random
import wave
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np

from evc2.cli import ArgumentParser, run, setup_logging
from evc2.fileio.corpus import atomic_folder
from evc2.fileio.manifest import Utterance, write_manifest
from evc2.text.espeak import RATE, Espeak

VOICES = {"m1": "en+m3", "m2": "en+m7", "f1": "en+f1", "f2": "en+linda"}  # none with noise that differs between runs
SENTENCES = (
    "The boat left the harbour before sunrise.",
    "My brother painted the kitchen door green.",
    "We found an old map under the stairs.",
    "Nobody told me about the meeting today.",
    "The train to the coast leaves at nine.",
    "She put the letters back into the drawer.",
    "There is no more bread on the table.",
    "They are building a bridge over the river.",
    "I will call you when the rain is over.",
    "The neighbours bought another yellow car.",
    "You can leave your bag near the window.",
    "He never answers a question directly.",
    "The garden was empty all summer long.",
    "Our team played in the big hall again.",
    "Someone has moved my chair into the yard.",
    "The radio was still on in the morning.",
)
# rate in words a minute; pitch, range and volume on espeak's own scales; tilt: coefficient of y[n] = x[n] + tilt x[n-1]
EMOTIONS = {
    "neutral": {"rate": 165, "pitch": 45, "range": 45, "volume": 40, "tilt": 0.0},
    "happy": {"rate": 185, "pitch": 62, "range": 80, "volume": 46, "tilt": -0.35},
    "sad": {"rate": 130, "pitch": 35, "range": 18, "volume": 28, "tilt": 0.6},
    "angry": {"rate": 195, "pitch": 55, "range": 90, "volume": 53, "tilt": -0.6},
}
TRAIN, DEV = 9, 11  # sentences up to this one train; up to that one are for development; the rest tests
NOISE = 10 ** (-66 / 20)  # rms of the room's noise: digital silence has no logarithm, and no recording has it


def perform(speech: Espeak, voice: str, emotion: str, sentence: int, seed: int) -> np.ndarray:
    """Return sentence number `sentence` (from 1) of a voice in an emotion: 16-bit samples [N] at RATE."""
    draw = random.Random(f"{seed} {voice} {emotion} {sentence}")
    mean = EMOTIONS[emotion]
    samples = speech.say(
        SENTENCES[sentence - 1],
        VOICES[voice],
        rate=round(mean["rate"] * draw.uniform(0.95, 1.05)),
        pitch=mean["pitch"] + draw.randint(-4, 4),
        range=mean["range"] + draw.randint(-6, 6),
        volume=mean["volume"] + draw.randint(-3, 3),
    )
    plain = samples / 32768.0
    tilted = plain.copy()
    tilted[1:] += mean["tilt"] * plain[:-1]
    # The tilt is to change the spectrum's slope; loudness stays what the volume made it.
    tilted *= np.sqrt(np.mean(plain**2) / np.mean(tilted**2))
    tilted += NOISE * np.random.default_rng(draw.getrandbits(32)).standard_normal(len(tilted))
    return np.round(tilted.clip(-1, 1) * 32767).astype("<i2")


def description(seed: int) -> dict[str, object]:
    """Return what the audio depends on; it lies beside it as toy.json."""
    settings = {"voices": VOICES, "emotions": EMOTIONS, "sentences": SENTENCES, "noise": NOISE}
    return json.loads(json.dumps({"seed": seed, "espeakng_loader": version("espeakng-loader"), **settings}))


def generate(root: Path, seed: int) -> None:
    """Write root/<voice>/<emotion>/<sentence>.wav and toy.json, all or nothing; what is up to date stays.

    Raises:
        UserError: `root` holds something else, or espeak-ng fails.
    """
    mark, wanted = root / "toy.json", description(seed)
    if mark.is_file() and json.loads(mark.read_text(encoding="utf-8")) == wanted:
        logging.info("%s is up to date", root)
        return
    with atomic_folder(root, lambda path: (path / "toy.json").is_file()) as new:
        speech = Espeak()
        for voice in VOICES:
            for emotion in EMOTIONS:
                (new / voice / emotion).mkdir(parents=True)
                for sentence in range(1, len(SENTENCES) + 1):
                    with wave.open(str(new / voice / emotion / f"{sentence:02d}.wav"), "wb") as stream:
                        stream.setnchannels(1)
                        stream.setsampwidth(2)
                        stream.setframerate(RATE)
                        stream.writeframes(perform(speech, voice, emotion, sentence, seed).tobytes())
        (new / "toy.json").write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")
    logging.info("wrote %d sentences to %s", len(VOICES) * len(EMOTIONS) * len(SENTENCES), root)


def utterances(root: Path) -> list[Utterance]:
    """Return the corpus's lines for the manifest."""
    return [
        Utterance(
            utt=f"{voice}-{emotion}-{sentence:02d}",
            speaker=voice,
            emotion=emotion,
            gender=voice[0],
            path=str(root / voice / emotion / f"{sentence:02d}.wav"),
            text=text,
            sentence=f"s{sentence:02d}",
            set="train" if sentence <= TRAIN else "dev" if sentence <= DEV else "test",
        )
        for voice in VOICES
        for emotion in EMOTIONS
        for sentence, text in enumerate(SENTENCES, 1)
    ]


def get_parser() -> ArgumentParser:
    """Return the option parser."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--db_root", default="downloads/toy", help="folder to write the corpus to")
    parser.add_argument("--manifest", required=True, help="TSV to write")
    parser.add_argument("--seed", type=int, default=0, help="of the differences between sentences")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    generate(Path(args.db_root), args.seed)
    write_manifest(args.manifest, utterances(Path(args.db_root).absolute()))


if __name__ == "__main__":
    run(main)
