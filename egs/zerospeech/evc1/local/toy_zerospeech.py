#!/usr/bin/env python3
"""Generate a toy corpus in ZeroSpeech's layout, spoken by espeak-ng: to try the recipe without the corpus.

8 speakers for the units and 2 voices say plain sentences. 4 other speakers say lists of words that differ in one sound
(the beat and the bit); snippets of one or three phones are cut from those. espeak tells when each phone begins, so
abx.item, the ABX task over the sentences, is exact. The same seed gives the same corpus with one version of
espeakng-loader.
"""

import json
import logging
import random
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from evc2.cli import ArgumentParser, run, setup_logging
from evc2.errors import UserError
from evc2.fileio.corpus import atomic_folder
from evc2.text.espeak import RATE as ESPEAK_RATE
from evc2.text.espeak import Espeak, Phone

RATE = 16000
MARK = "toy_zerospeech.json"
NOISE = 10 ** (-66 / 20)  # rms of the room's noise: digital silence has no logarithm, and no recording has it
# Speaker -> variant of espeak's English voice, pitch on espeak's scale, words a minute.
UNIT = {
    "S101": ("m1", 32, 150), "S102": ("m3", 45, 165), "S103": ("m6", 52, 140), "S104": ("m8", 40, 170),
    "S105": ("f1", 48, 155), "S106": ("steph2", 64, 145), "S107": ("shelby", 42, 165), "S108": ("linda", 55, 160),
}  # fmt: skip
VOICE = {"V001": ("m7", 40, 155), "V002": ("steph", 55, 155)}
TEST = {"S001": ("m2", 46, 175), "S002": ("paul", 36, 185), "S003": ("f4", 50, 170), "S004": ("belinda", 58, 180)}
UNIT_SENTENCES, VOICE_SENTENCES = 12, 20  # of each speaker
SENTENCES = (
    "The boat came back to the harbour at ten.", "Kate put the map into the bag.", "My dad will paint the gate again.",
    "Nobody met us at the station.", "The cat sat near the open door.", "Dean bought a pen and a loud bell.",
    "We had bread and meat for lunch.", "Peter took the coat to the town.", "The night was cold and the moon was late.",
    "Call me when the kite is up.", "They cut the pine tree down.", "A man in a brown suit sat beside me.",
    "Her pain was gone in a minute.", "He set the pan on the table.", "Dan dug a deep hole in the sand.",
    "The bike needs a new seat.", "Mum made a pot of tea.", "They caught a big fish in May.",
    "Let me light the candle now.", "Some of it was bitter.", "The den is dark at dawn.",
    "You may keep the other key.", "Sue bit into the pie.", "A site was found beside the moat.",
)  # fmt: skip
WORDS = (  # eight that differ in their vowel; two sentences each
    "beat bit bet bat bait bite but boat",
    "seat sit set sat site suit sort soot",
    "kit cat cut coat caught Kate kite cot",
    "pin pen pan pain pine pun pawn pound",
    "din den Dan Dane dine done dawn dean",
    "meet mitt met mat mate mite mutt moat",
)
A_SENTENCE = 4  # words
SYNTHESIS = 3  # sentences of each test speaker to synthesise
SNIPPET = (0.08, 0.3)  # seconds
FIRST_SNIPPET = 500  # numbers of snippets follow those of sentences


class Spoken(NamedTuple):
    """A sentence: 16-bit samples [n] at RATE, and its phones."""

    wav: np.ndarray
    phones: list[Phone]


def stem_of(speaker: str, number: int) -> str:
    """Name of an utterance. Its number is no other speaker's: a submission's wavs are named by voice and number."""
    return f"{speaker}_{1000 * (1 + [*UNIT, *VOICE, *TEST].index(speaker)) + number:010d}"


def speak(speech: Espeak, voice: tuple[str, int, int], text: str, draw: random.Random) -> Spoken:
    """Say a text, a little higher or lower and faster or slower each time."""
    variant, pitch, rate = voice
    settings = {"pitch": pitch + draw.randint(-3, 3), "rate": round(rate * draw.uniform(0.95, 1.05)), "range": 45}
    wav = soxr.resample(speech.say(text, f"en+{variant}", volume=40, **settings) / 32768.0, ESPEAK_RATE, RATE)
    wav = wav + NOISE * np.random.default_rng(draw.getrandbits(32)).standard_normal(len(wav))
    return Spoken(np.round(wav.clip(-1, 1) * 32767).astype("<i2"), list(speech.phones))


def triples(phones: Sequence[Phone]) -> Iterator[tuple[Phone, Phone, Phone]]:
    """Yield each phone between two others, less those beside a pause."""
    for three in zip(phones, phones[1:], phones[2:], strict=False):
        if not any(phone.is_pause for phone in three):
            yield three


def label(phone: Phone) -> str:
    """The phone's name without the marks of stress, which every word of a list has."""
    return phone.name.strip("',%=")


def word_sentences() -> list[str]:
    """The test sentences: "The beat and the bit and ..."."""
    words = [row.split() for row in WORDS]
    lists = [row[first : first + A_SENTENCE] for row in words for first in range(0, len(row), A_SENTENCE)]
    return [f"The {' and the '.join(row)}." for row in lists]


def write_training(folder: Path, speech: Espeak, seed: int) -> dict[str, str]:
    """Write train/unit and train/voice; return stem -> text."""
    texts = {}
    for part, speakers, number in (("unit", UNIT, UNIT_SENTENCES), ("voice", VOICE, VOICE_SENTENCES)):
        (folder / "train" / part).mkdir(parents=True)
        for speaker, voice in speakers.items():
            draw = random.Random(f"{seed} {speaker}")
            for index in sorted(draw.sample(range(len(SENTENCES)), number)):
                stem = stem_of(speaker, index + 1)
                texts[stem] = SENTENCES[index]
                wav = speak(speech, voice, SENTENCES[index], draw).wav
                soundfile.write(folder / "train" / part / f"{stem}.wav", wav, RATE, subtype="PCM_16")
    return texts


def snippet(found: Sequence[tuple[Phone, Phone, Phone]], alone: bool, draw: random.Random) -> tuple[int, int]:
    """First and last + 1 sample of a snippet: of three phones, or of one that is `alone` and among the shortest.

    The corpus has them down to 0.1 s, hardly more than a window of the analysis.
    """
    ends = [(b.start, b.stop) if alone else (a.start, c.stop) for a, b, c in found]
    ends = [(start, stop) for start, stop in ends if SNIPPET[0] <= stop - start <= SNIPPET[1]]
    if not ends:
        raise UserError(f"no phones last {SNIPPET[0]} to {SNIPPET[1]} s: this version of espeak-ng speaks otherwise")
    ends = sorted(ends, key=lambda span: span[1] - span[0])[: 3 if alone else None]
    start, stop = draw.choice(ends)
    return round(start * RATE), round(stop * RATE)


def write_test(folder: Path, speech: Espeak, seed: int) -> dict[str, str]:
    """Write test/, synthesis.txt and abx.item; return stem -> text of the sentences."""
    (folder / "test").mkdir()
    texts, synthesis, items = {}, [], ["#file onset offset #phone prev-phone next-phone speaker"]
    voices = sorted(VOICE)
    for speaker, voice in TEST.items():
        draw = random.Random(f"{seed} {speaker}")
        for index, text in enumerate(word_sentences(), 1):
            stem = stem_of(speaker, index)
            texts[stem] = text
            wav, phones = speak(speech, voice, text, draw)
            soundfile.write(folder / "test" / f"{stem}.wav", wav, RATE, subtype="PCM_16")
            found = list(triples(phones))
            # As in the challenge, an item is the phone with the two beside it.
            items += [
                f"{stem} {a.start:.4f} {c.stop:.4f} {label(b)} {label(a)} {label(c)} {speaker}" for a, b, c in found
            ]
            if index <= SYNTHESIS:
                synthesis.append(f"test/{stem}.wav {voices[index % len(voices)]}")
            start, stop = snippet(found, index % 3 == 0, draw)
            name = stem_of(speaker, FIRST_SNIPPET + index)
            soundfile.write(folder / "test" / f"{name}.wav", wav[start:stop], RATE, subtype="PCM_16")
    (folder / "synthesis.txt").write_text("\n".join(synthesis) + "\n", encoding="utf-8")
    (folder / "abx.item").write_text("\n".join(items) + "\n", encoding="utf-8")
    return texts


def generate(root: Path, seed: int) -> None:
    """Write root/2019/english, all or nothing; what is up to date stays.

    Raises:
        UserError: `root` holds something else, or espeak-ng fails.
    """
    numbers = [UNIT_SENTENCES, VOICE_SENTENCES, A_SENTENCE, SYNTHESIS, SNIPPET, FIRST_SNIPPET]
    settings = {"speakers": [UNIT, VOICE, TEST], "sentences": SENTENCES, "words": WORDS, "noise": NOISE, "of": numbers}
    wanted = json.loads(json.dumps({"seed": seed, "espeakng_loader": version("espeakng-loader"), **settings}))
    if (root / MARK).is_file() and json.loads((root / MARK).read_text(encoding="utf-8")) == wanted:
        logging.info("%s is up to date", root)
        return
    with atomic_folder(root, lambda path: (path / MARK).is_file()) as new:
        speech, folder = Espeak(phones=True), new / "2019" / "english"
        texts = {**write_training(folder, speech, seed), **write_test(folder, speech, seed)}
        lines = [f"{stem}\t{text}\n" for stem, text in sorted(texts.items())]
        (folder / "transcripts.tsv").write_text("".join(lines), encoding="utf-8")
        (new / MARK).write_text(json.dumps(wanted) + "\n", encoding="utf-8")
    logging.info("wrote %d sentences to %s", len(texts), root)


def get_parser() -> ArgumentParser:
    """Return the option parser."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=0, help="of the differences between sentences")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    generate(Path(args.out), args.seed)


if __name__ == "__main__":
    run(main)
