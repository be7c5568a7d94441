"""Submissions of ZeroSpeech's 2019 track ("TTS without T", also part of 2020): their tree, metadata and archive.

metadata.yaml                                    author, affiliation, open source
2019/metadata.yaml                               abx distance, system description, ...
2019/code/                                       where open source is true
2019/<language>/test/<utterance>.txt             an embedding for each test file
2019/<language>/test/<voice>_<utterance>.wav     a synthesis for each line of synthesis.txt
2019/<language>/auxiliary_embedding1/, 2/        other embeddings, to see what quantisation costs, say
"""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from evc2.errors import UserError, nearest
from evc2.evaluate.zerospeech.embeddings import write_rows
from evc2.fileio.atomic import atomic_path, write_text
from evc2.fileio.audio import read_audio, write_audio
from evc2.fileio.trials import Trial

RATE = 16000
LANGUAGES = ("english", "surprise")
AUXILIARY = ("auxiliary_embedding1", "auxiliary_embedding2")
DISTANCES = ("dtw_cosine", "dtw_kl", "levenshtein")
TOP_KEYS: dict[str, type | None] = {"author": str, "affiliation": str, "open source": bool}
TRACK_KEYS: dict[str, type | None] = {
    "abx distance": str,
    "system description": str,
    "hyperparameters": None,  # anything
    "using parallel train": bool,
    "using external data": bool,
}
AUXILIARY_KEYS = {name: f"auxiliary{k} description" for k, name in enumerate(AUXILIARY, 1)}


class UnitsLike(Protocol):
    """What an encoder returns: `rows(kind)` gives a matrix [N, D], integers for one-hot rows."""

    def rows(self, kind: str) -> np.ndarray: ...


def track(root: str | os.PathLike[str]) -> Path:
    """The folder of the 2019 track in a submission."""
    return Path(root) / "2019"


def write_embeddings(
    folder: str | os.PathLike[str],
    utts: Sequence[str],
    encode: Callable[[str], UnitsLike],
    kinds: Mapping[str, str],
    decimals: int = 6,
) -> dict[str, int]:
    """Write the embeddings of utterances, each encoded once.

    Args:
        folder: of a language, 2019/<language>.
        utts: utterances; each becomes a file name.
        encode: makes the units of one.
        kinds: subfolder (test, auxiliary_embedding1 ...) -> kind of rows.
        decimals: of rows that are no integers.

    Returns:
        Subfolder -> number of columns.

    Raises:
        UserError: a name that cannot be a file's, or files of differing numbers of columns.
    """
    widths: dict[str, int] = {}
    for utt in utts:
        if "/" in utt or utt.startswith("."):
            raise UserError(f"'{utt}' cannot be the name of a file; rename the utterance")
        try:
            units = encode(utt)
        except UserError as error:
            raise UserError(f"{utt}: {error}") from error
        for name, kind in kinds.items():
            rows = units.rows(kind)
            if widths.setdefault(name, rows.shape[1]) != rows.shape[1]:
                raise UserError(f"{utt}: its rows '{kind}' have {rows.shape[1]} values, others {widths[name]}")
            write_rows(Path(folder) / name / f"{utt}.txt", rows, decimals)
    return widths


def wav_name(trial: Trial, utt2spk: Mapping[str, str]) -> str:
    """File name of a trial's synthesis: <target voice>_<what follows the speaker in the source's name>.wav."""
    speaker = utt2spk.get(trial.source, "")
    if not speaker or not trial.source.startswith(speaker):
        speaker = trial.source.partition("_")[0]
    return f"{trial.speaker}_{trial.source.removeprefix(speaker).lstrip('-_')}.wav"


def wav_names(trials: Iterable[Trial], utt2spk: Mapping[str, str]) -> dict[str, str]:
    """Trial -> file name; UserError where two trials would have one."""
    trial_of: dict[str, str] = {}
    for trial in trials:
        name = wav_name(trial, utt2spk)
        other = trial_of.setdefault(name, trial.id)
        if other != trial.id:
            raise UserError(f"trials '{other}' and '{trial.id}' would both be {name}; take one of them")
    return {trial: name for name, trial in trial_of.items()}


def write_wavs(folder: str | os.PathLike[str], wavs: Mapping[str, str], names: Mapping[str, str]) -> None:
    """Put converted trials into a submission, as 16-bit PCM at 16 kHz, one channel.

    A file of that format is copied as it is.

    Args:
        folder: 2019/<language>/test.
        wavs: trial -> recording.
        names: trial -> file name.

    Raises:
        UserError: a trial without a recording, or one that cannot be read.
    """
    lacking = sorted(set(names) - set(wavs))
    if lacking:
        hint = nearest(lacking[0], wavs)
        raise UserError(f"{len(lacking)} of {len(names)} trials have no converted wav: '{lacking[0]}'{hint} ...")
    for trial, name in names.items():
        target, source = Path(folder) / name, wavs[trial]
        if _is_wanted(source):
            with atomic_path(target) as temporary:
                shutil.copyfile(source, temporary)
            continue
        write_audio(target, read_audio(source, RATE)[0], RATE)


def _is_wanted(source: str) -> bool:
    """Whether a recording is a file of the format that the challenge wants."""
    import soundfile

    if source.rstrip().endswith("|"):
        return False
    try:
        info = soundfile.info(source)
    except soundfile.SoundFileError:
        return False  # read_audio says what is wrong with it
    return (info.format, info.subtype, info.samplerate, info.channels) == ("WAV", "PCM_16", RATE, 1)


def parse_metadata(words: Iterable[str]) -> dict[str, Any]:
    """Metadata of words `key=value` or names of YAML files; later ones win. `_` in a key stands for a space.

    Raises:
        UserError: a file that cannot be read or holds no keys, an unknown key, or a value of the wrong kind.
    """
    import yaml

    known = {**TOP_KEYS, **TRACK_KEYS, **dict.fromkeys(AUXILIARY_KEYS.values(), str)}
    found: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        try:
            content = {key: yaml.safe_load(text)} if equals else yaml.safe_load(Path(word).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            raise UserError(f"--metadata: expected key=value or a YAML file, found '{word}'") from None
        except yaml.YAMLError as error:
            raise UserError(f"--metadata: {word}: not YAML: {' '.join(str(error).split())}") from None
        if not isinstance(content, dict):
            raise UserError(f"--metadata: {word}: expected lines of `key: value`")
        for name, value in content.items():
            name = str(name).replace("_", " ")
            if name not in known:
                raise UserError(f"--metadata: unknown key '{name}'{nearest(name, known)}; known: {', '.join(known)}")
            kind = known[name]
            if kind is str and equals:
                value = text
            if kind is not None and not isinstance(value, kind):
                expected = "true or false" if kind is bool else "a text"
                raise UserError(f"--metadata: '{name}': expected {expected}, found '{value}'")
            found[name] = value
    return found


def defaults(kinds: Mapping[str, str], commit: str) -> dict[str, Any]:
    """Metadata where the user gives none.

    Args:
        kinds: subfolder -> kind of rows, as for `write_embeddings`.
        commit: of this program.
    """
    words = {"bottom": "one-hot bottom codes", "both": "one-hot bottom and top codes", "dense": "vectors of the codes"}
    found = {
        "author": "unknown",
        "affiliation": "unknown",
        "open source": True,
        "abx distance": "dtw_cosine",
        "system description": f"VQ-VAE-2 units and a MelGAN vocoder, evc2 {commit}",
        "hyperparameters": {"rows": kinds["test"]},
        "using parallel train": False,
        "using external data": False,
    }
    return found | {AUXILIARY_KEYS[name]: words[kinds[name]] for name in AUXILIARY if name in kinds}


def write_metadata(root: str | os.PathLike[str], metadata: Mapping[str, Any]) -> None:
    """Write both metadata.yaml files of a submission; a key goes into the one that knows it."""
    import yaml

    files = {Path(root): {}, track(root): {}}
    for key, value in metadata.items():
        files[Path(root) if key in TOP_KEYS else track(root)][key] = value
    for folder, content in files.items():
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
        write_text(folder / "metadata.yaml", text)


def write_code(root: str | os.PathLike[str], commit: str, model: str | os.PathLike[str], command: str) -> None:
    """Write 2019/code: which program at which commit made the submission, and the model's configuration."""
    folder, config = track(root) / "code", Path(model) / "config.yaml"
    text = (
        "# evc2\n\nUnits and wavs of this submission were made with evc2 (Apache License 2.0), commit\n"
        f"{commit}, by the recipe egs/zerospeech.\n\n    {command}\n"
    )
    write_text(folder / "README.md", text + ("\nconfig.yaml is the model's.\n" if config.is_file() else ""))
    if config.is_file():
        write_text(folder / "config.yaml", config.read_text(encoding="utf-8"))


def write_zip(root: str | os.PathLike[str], out: str | os.PathLike[str]) -> int:
    """Zip a submission, atomically; equal trees give equal archives. Hidden files are left out.

    Returns:
        The number of files.

    Raises:
        UserError: no submission there.
    """
    root = Path(root)
    if not (root / "metadata.yaml").is_file():
        raise UserError(f"{root}: expected a submission with metadata.yaml, as `zs_submission make` writes it")
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    names = [name for name in names if not any(part.startswith(".") for part in name.split("/"))]
    with atomic_path(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, (root / name).read_bytes())
    return len(names)
