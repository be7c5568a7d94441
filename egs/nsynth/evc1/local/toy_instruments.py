#!/usr/bin/env python3
"""Generate a toy corpus in NSynth's layout: notes of plucked strings, organs and flutes, to try the recipe without it.

guitar: a delay line with a low-pass filter in its loop (Karplus and Strong, Computer Music Journal 7(2), 1983);
organ: steady harmonics; flute: few harmonics, breath and vibrato. The instruments of a family differ in brightness or
vibrato. The same seed gives the same notes.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from evc2.cli import ArgumentParser, run, setup_logging
from evc2.fileio.corpus import atomic_folder

RATE = 16000
FAMILIES = ("flute", "guitar", "organ")
INSTRUMENTS = {"train": (0, 1, 2), "valid": (3,), "test": (4,)}  # none is in two parts, as in NSynth
VELOCITIES = (50, 100)
MARK = "toy_instruments.json"


def _harmonics(pitch_hz: np.ndarray, amplitudes: Sequence[float]) -> np.ndarray:
    """Sum of harmonics with fixed amplitudes of a pitch [n] in Hz; those over half the rate are left out."""
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE
    highest = int(RATE / 2.1 / pitch_hz.max())
    return sum(a * np.sin(k * phase) for k, a in enumerate(amplitudes[:highest], 1))


def plucked(hz: float, n: int, brightness: float, draw: np.random.Generator) -> np.ndarray:
    """A string of n samples: noise goes round a delay of one period and loses its highs each time."""
    period = RATE / hz
    size = int(period - 0.5)
    fraction = period - 0.5 - size  # of a sample, by linear interpolation
    burst = draw.standard_normal(size + 1)
    burst = brightness * burst + (1 - brightness) * np.convolve(burst, np.ones(4) / 4, mode="same")
    out = np.zeros(n + size + 2)
    out[: size + 1] = burst - burst.mean()
    keep = 0.5 * 0.996
    for i in range(size + 2, n + size + 2):
        a, b, c = out[i - size], out[i - size - 1], out[i - size - 2]
        out[i] = keep * ((1 - fraction) * (a + b) + fraction * (b + c))
    return out[-n:]


def note(family: str, instrument: int, pitch: int, velocity: int, seconds: float, seed: int) -> np.ndarray:
    """Return a note of MIDI number `pitch`: float samples [seconds * RATE] with a peak of velocity / 127, at most 1."""
    draw = np.random.default_rng([seed, FAMILIES.index(family), instrument, pitch, velocity])
    n = round(seconds * RATE)
    t = np.arange(n) / RATE
    hz = 440.0 * 2.0 ** ((pitch - 69) / 12)
    shade = 0.1 * instrument
    held = np.clip(t / 0.01, 0, 1) * np.clip((0.75 * seconds - t) / 0.05, 0, 1)  # then it is let go, as in NSynth
    if family == "guitar":
        wav = plucked(hz, n, 0.5 + shade, draw) * np.clip((seconds - t) / 0.05, 0, 1)
    elif family == "organ":
        strengths = [1, 0.8, 0.5, 0.7 - shade, 0.1, 0.4 + shade, 0.05, 0.35]
        wav = held * _harmonics(np.full(n, hz), strengths)
    else:
        vibrato = 1 + (0.004 + 0.01 * shade) * np.sin(2 * np.pi * 5.2 * t + draw.uniform(0, 6)) * np.clip(t / 0.5, 0, 1)
        breath = np.convolve(draw.standard_normal(n), np.ones(3) / 3, mode="same")
        soft = np.clip(t / 0.08, 0, 1) * np.clip((0.75 * seconds - t) / 0.1, 0, 1)
        wav = soft * (_harmonics(hz * vibrato, [1, 0.25 + shade, 0.08, 0.03]) + 0.04 * breath)
    # No recording is free of noise, and digital silence has no logarithm.
    return 0.9 * velocity / 127 * wav / np.abs(wav).max() + 1e-4 * draw.standard_normal(n)


def generate(root: Path, pitches: Sequence[int], seconds: float, seed: int) -> None:
    """Write root/nsynth-{train,valid,test}/audio/*.wav, all or nothing; what is up to date stays.

    Raises:
        UserError: `root` holds something else.
    """
    wanted = {"pitches": list(pitches), "seconds": seconds, "seed": seed, "instruments": INSTRUMENTS}
    wanted = json.loads(json.dumps(wanted))
    if (root / MARK).is_file() and json.loads((root / MARK).read_text(encoding="utf-8")) == wanted:
        logging.info("%s is up to date", root)
        return
    number = 0
    with atomic_folder(root, lambda path: (path / MARK).is_file()) as new:
        for part, instruments in INSTRUMENTS.items():
            folder = new / f"nsynth-{part}" / "audio"
            folder.mkdir(parents=True)
            notes = [(f, i, p, v) for f in FAMILIES for i in instruments for p in pitches for v in VELOCITIES]
            for family, instrument, pitch, velocity in notes:
                wav = note(family, instrument, pitch, velocity, seconds, seed)
                name = f"{family}_acoustic_{instrument:03d}-{pitch:03d}-{velocity:03d}.wav"
                soundfile.write(folder / name, wav, RATE, subtype="PCM_16")
            number += len(notes)
        (new / MARK).write_text(json.dumps(wanted) + "\n", encoding="utf-8")
    logging.info("wrote %d notes to %s", number, root)


def get_parser() -> ArgumentParser:
    """Return the option parser."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, help="folder to write")
    parser.add_argument("--lowest", type=int, default=48, help="MIDI number of the lowest note")
    parser.add_argument("--highest", type=int, default=72, help="MIDI number of the highest note")
    parser.add_argument("--step", type=int, default=2, help="semitones from note to note")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a note")
    parser.add_argument("--seed", type=int, default=0, help="of the noise in strings and breath")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    generate(Path(args.out), range(args.lowest, args.highest + 1, args.step), args.seconds, args.seed)


if __name__ == "__main__":
    run(main)
