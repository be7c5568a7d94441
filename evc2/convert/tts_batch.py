"""Speaking lists: lines of a file, and the trials of a data directory."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evc2.convert.attempts import note_attempt
from evc2.convert.checks import check_style
from evc2.convert.jobs import Made, run_jobs, utterance
from evc2.convert.options import CHOICES, Options
from evc2.convert.tts import TTS, Controls
from evc2.errors import UserError
from evc2.fileio.audio import read_audio
from evc2.fileio.datadir import DataDir
from evc2.fileio.trials import Trial


@dataclass(frozen=True)
class Line:
    """What is to be said: id (a file name), speaker, text, and the emotion's name or a recording to take it from."""

    id: str
    speaker: str
    emotion: str
    text: str
    reference: str | None = None


def read_list(path: str | Path) -> list[Line]:
    """Lines ``id|speaker|emotion|text`` or ``id|speaker|emotion|text|reference.wav``; empty lines and those that begin
    with # are left out. A text in braces is phones.

    Raises:
        UserError: no readable file, a line of another form, or an id that comes twice.
    """
    try:
        rows = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: expected a readable list of lines id|speaker|emotion|text: {error}") from None
    lines: dict[str, Line] = {}
    for number, row in enumerate(rows, 1):
        if not row.strip() or row.lstrip().startswith("#"):
            continue
        fields = [field.strip() for field in row.split("|")]
        if len(fields) not in (4, 5) or not all(fields[:2]) or not fields[3]:
            raise UserError(
                f"{path}:{number}: expected id|speaker|emotion|text or id|speaker|emotion|text|wav, found {row}"
            )
        if fields[0] in lines:
            raise UserError(f"{path}:{number}: the id {fields[0]} comes twice")
        lines[fields[0]] = Line(*fields[:4], *filter(None, fields[4:]))
    if not lines:
        raise UserError(f"{path}: holds no line to say")
    return list(lines.values())


def speak_list(
    tts: TTS, lines: Sequence[Line], out: Path, soft: bool, controls: Controls, job: int | None = None, njobs: int = 1
) -> None:
    """Say every line into OUT/wav/<id>.wav, with hard tokens or (soft) with the emotion of its recording. Leaves what
    run_jobs and, of systems that may fail, note_attempt leave.

    Raises:
        UserError: soft tokens and a line without a recording, or what :meth:`TTS.synthesize` raises.
    """
    by_id = {line.id: line for line in lines}

    def work(name: str) -> Made:
        line = by_id[name]
        if soft and line.reference is None:
            raise UserError("soft tokens need a recording in the line's fifth field")
        asked = {"reference": read_audio(line.reference)} if soft else {"emotion": line.emotion}
        wav, info = tts.synthesize(line.text, line.speaker, **asked, controls=controls)
        note_attempt(out, name, info["made"])
        return wav, info["rate"]

    run_jobs(list(by_id), work, out, job, njobs)


def other_speakers(data: DataDir, trials: Mapping[str, Trial]) -> dict[str, str]:
    """For every trial an utterance with its emotion by another speaker, to take the emotion from; always the same.

    The trial's own reference, which evaluation compares with, is never one.
    """
    spk, emo = data.table("utt2spk"), data.table("utt2emo")
    intensity = data.table("utt2intensity") if data.has("utt2intensity") else {}
    chosen = {}
    for trial in trials.values():
        level = intensity.get(trial.reference or "")
        fits = [u for u in data.utts if emo[u] == trial.emotion and spk[u] != trial.speaker]
        fits = [u for u in fits if intensity.get(u) == level] or fits
        if not fits:
            raise UserError(
                f"{data.path}: no utterance of another speaker is {trial.emotion}, so trial {trial.id} has no "
                f"recording to take it from; take emotions by name (no --style reference, --tokens hard)"
            )
        chosen[trial.id] = fits[zlib.crc32(trial.id.encode()) % len(fits)]
    return chosen


def check_spoken(options: Mapping[str, Any], tts: TTS) -> None:
    """UserError for options of evc2.bin.convert that mean nothing where no recording is converted."""
    style = options.get("style")
    names = (*CHOICES, "spectrum_intensity")
    asked = Options(
        style=style,
        reference={} if style == "reference" else None,  # chosen trial by trial where none is given
        **{name: options[name] for name in names if options.get(name) is not None},
    )
    check_style(asked, type(tts.model).__name__, tts.model.styles)
    for name, value in asked.changed().items():
        raise UserError(f"{name} {value}: this system speaks text, so there is no recording to change; leave it out")


def speak_trials(
    tts: TTS,
    data: DataDir,
    trials: Mapping[str, Trial],
    out: Path,
    options: Mapping[str, Any],
    plot: bool = False,
    job: int | None = None,
    njobs: int = 1,
) -> None:
    """Say the words of the trials' sources as their target speaker, with their target emotion.

    Args:
        tts: the loaded system.
        data: data directory with ``text``.
        trials: trials by id.
        out: folder O.
        options: of evc2.bin.convert; ``style`` ``reference`` takes the emotion from ``reference`` or, without one,
            from an utterance of another speaker; ``intensity`` and, from evc2.bin.synthesize alone, ``speed`` and
            ``pitch`` as in :class:`Controls`.
        plot: whether to draw each spectrogram.
        job, njobs: which part of the list to do.

    Raises:
        UserError: no texts, or options that only conversions of recordings have.
    """
    check_spoken(options, tts)
    if not data.has("text"):
        raise UserError(f"{data.path}: there is no `text`, and this system speaks what it is told")
    texts, style = data.table("text"), options.get("style")
    given = options.get("reference")
    prompts = other_speakers(data, trials) if style == "reference" and given is None else {}
    controls = Controls(
        **{key: options[key] for key in ("intensity", "speed", "pitch") if options.get(key) is not None}
    )

    def work(name: str) -> Made:
        trial = trials[name]
        asked: dict[str, Any] = {"emotion": trial.emotion}
        if style == "reference":
            asked = {"reference": given or utterance(data, prompts[name])}
        wav, info = tts.synthesize(texts[trial.source], trial.speaker, **asked, controls=controls)
        note_attempt(out, name, info["made"], None, plot)
        if plot:
            from evc2.convert.tts_plot import draw_speech  # matplotlib starts slowly

            title = f"{trial.speaker}, {trial.emotion}: {texts[trial.source]}"
            draw_speech(out / "plots" / f"{name}.png", info, title, tts.contract.frame_seconds)
        return wav, info["rate"]

    run_jobs(list(trials), work, out, job, njobs)
