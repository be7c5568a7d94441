"""Converting files, folders and lists of trials."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evc2.convert.attempts import note_attempt
from evc2.convert.details import Details
from evc2.convert.evc import EVC
from evc2.convert.jobs import Made, run_jobs, utterance
from evc2.convert.options import Options
from evc2.errors import UserError
from evc2.fileio.audio import read_audio, write_audio
from evc2.fileio.datadir import DataDir
from evc2.fileio.trials import Trial

AUDIO = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3")
WRITABLE = (".wav", ".flac", ".ogg", ".mp3")


def draw(path: Path, wav: Any, info: Mapping[str, Any]) -> None:
    """Write the picture of one conversion."""
    from evc2.convert.plot import plot_conversion  # matplotlib starts slowly

    plot_conversion(path, info["source"], wav, info["rate"], info["source_f0"], info["f0"], info["frame_period"] / 1000,
                    titles=("source", f"converted to {info['target_speaker'] or info['emotion']}"))  # fmt: skip


def convert_file(
    evc: EVC,
    source: Path,
    target: Path,
    options: Mapping[str, Any],
    plot: bool = False,
    details: Details | None = None,
) -> Path:
    """Convert one recording.

    Args:
        evc: the loaded system.
        source: wav, flac, ogg or mp3 of any rate.
        target: file to write, or a folder that exists (the source's name with .wav is taken in it).
        options: arguments of :meth:`EVC.convert`.
        plot: whether to write a picture beside it, with the suffix .png.
        details: where to leave what else there is to hear and see.

    Returns:
        The file that was written.

    Raises:
        UserError: unreadable or unusable source, or a target that cannot be written or is the source.
    """
    if target.is_dir():
        target = target / f"{source.stem}.wav"
    if target.suffix.lower() not in WRITABLE:
        raise UserError(f"{target}: cannot write '{target.suffix}' files; use one of {', '.join(WRITABLE)}")
    if target.exists() and source.exists() and target.samefile(source):
        raise UserError(f"{target}: would overwrite its own source; choose another name")
    try:
        wav, info = evc.convert(*read_audio(source), **options)
    except UserError as error:
        message = str(error)
        raise UserError(message if str(source) in message else f"{source}: {message}") from None
    write_audio(target, wav, info["rate"])
    if plot:
        draw(target.with_suffix(".png"), wav, info)
    if details is not None:
        details.add(evc, target, info)
    return target


def convert_folder(
    evc: EVC,
    source: Path,
    target: Path,
    options: Mapping[str, Any],
    plot: bool = False,
    details: Details | None = None,
) -> dict[str, Any]:
    """Convert every recording below a folder to .wav under the same relative names.

    A recording that cannot be converted is listed and left out; the others are made. Files that are no audio, or
    whose name starts with a dot (as the ``._*`` companions that macOS leaves), are counted only.

    Returns:
        ``done``: number of files; ``skipped``: {relative name: reason}; ``other``: number of files that are no audio.

    Raises:
        UserError: a folder without recordings, or in which an output would replace a source; unknown options.
    """
    # What is wrong with the options is wrong for every file: say it once, before the first.
    evc.resolve(Options(**options))
    inside = target.resolve()
    if inside == source.resolve():
        raise UserError(f"{target}: is the folder of the sources; choose another folder for the conversions")
    files = sorted(p for p in source.rglob("*") if p.is_file() and inside not in p.resolve().parents)
    audio = [p for p in files if p.suffix.lower() in AUDIO and not p.name.startswith(".")]
    if not audio:
        raise UserError(f"{source}: expected recordings ({' '.join(AUDIO)}), found {len(files)} other files")
    stems = [p.relative_to(source).with_suffix("") for p in audio]
    skipped: dict[str, str] = {}
    for path, stem in zip(audio, stems, strict=True):
        relative = path.relative_to(source)
        # Of a.wav and a.flac in one folder neither may replace the other: those keep their suffix in the name.
        name = f"{relative}.wav" if stems.count(stem) > 1 else f"{stem}.wav"
        try:
            convert_file(evc, path, target / name, options, plot, details)
        except UserError as error:
            skipped[str(relative)] = str(error)
            logging.warning("skipped %s", error)
        else:
            logging.info("%s -> %s", path, target / name)
    return {"done": len(audio) - len(skipped), "skipped": skipped, "other": len(files) - len(audio)}


def convert_trials(
    evc: EVC,
    data: DataDir,
    trials: Mapping[str, Trial],
    out: Path,
    options: Mapping[str, Any],
    plot: bool = False,
    job: int | None = None,
    njobs: int = 1,
) -> None:
    """Convert the sources of trials; each trial says which emotion. Leaves what run_jobs leaves, and O/plots/.

    Args:
        evc: the loaded system.
        data: data directory of the sources.
        trials: trials by id.
        out: folder O.
        options: further arguments of :meth:`EVC.convert`; ``source_emotion`` replaces what utt2emo says.
        plot: whether to draw each conversion.
        job, njobs: which part of the list to do.
    """
    known = set(evc.stats.speakers)
    speakers = data.table("utt2spk")
    emotions = data.table("utt2emo") if data.has("utt2emo") else {}
    phones = data.table("phones") if data.has("phones") else {}

    def work(name: str) -> Made:
        trial = trials[name]
        speaker = speakers[trial.source]
        given = {
            "speaker": speaker if speaker in known else None,
            "target_speaker": trial.speaker if trial.speaker != speaker else None,
            "source_emotion": emotions.get(trial.source),
            **{key: value for key, value in options.items() if value is not None and key != "emotion"},
        }
        wav, info = evc.convert(*utterance(data, trial.source), trial.emotion, **given)
        note_attempt(out, name, info.get("made"), phones.get(trial.source), plot)
        if plot:
            draw(out / "plots" / f"{name}.png", wav, info)
        return wav, info["rate"]

    run_jobs(list(trials), work, out, job, njobs)
