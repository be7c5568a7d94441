"""Writing the data directories of a corpus, all of them or none, and the table that says what is in them."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from evc2.errors import UserError
from evc2.fileio.atomic import write_text
from evc2.fileio.datadir import utts_by_speaker, validate
from evc2.fileio.manifest import Utterance
from evc2.fileio.tables import write_table
from evc2.fileio.trials import EMOTIONS, Trial, write_trials

UNKNOWN_WORDS = "<unk>"  # stands in `text` for an utterance without a transcript, where others have one


@contextmanager
def atomic_folder(
    path: str | os.PathLike[str], replaces: Callable[[Path], bool] = lambda path: False
) -> Iterator[Path]:
    """Give a temporary folder beside `path`; on success it takes the place of `path`, on failure it is removed.

    What an interrupted run left of its temporary folder is removed by the next one.

    Args:
        path: the final name; it must not exist, be empty, or be a folder that `replaces` accepts.
        replaces: says whether an existing folder is an earlier result that may be thrown away.

    Raises:
        UserError: `path` holds something else.
    """
    path = Path(os.path.abspath(path))
    if path.exists() and not (path.is_dir() and (not any(path.iterdir()) or replaces(path))):
        raise UserError(f"{path} exists and is not a result of this step; move it away or choose another name")
    new, old = path.with_name(f".{path.name}.partial"), path.with_name(f".{path.name}.old")
    for rest in (new, old):
        shutil.rmtree(rest, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
        if path.exists():
            path.rename(old)
        new.rename(path)
    except BaseException:
        if old.exists() and not path.exists():
            old.rename(path)
        raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_corpus(
    out: str | os.PathLike[str], sets: Mapping[str, Sequence[Utterance]], trials: Mapping[str, Sequence[Trial]]
) -> None:
    """Write `out`/{train,dev,test,...} as Kaldi data directories and `out`/lists, all at once.

    Args:
        out: the folder; an earlier result there is replaced.
        sets: set -> utterances.
        trials: set -> trials, for the sets that have them.

    Raises:
        UserError: `out` is something else than an earlier result, or the directories break Kaldi's rules.
    """
    with atomic_folder(out, lambda path: (path / "lists").is_dir() and (path / "train" / "utt2spk").is_file()) as new:
        for name in sets:
            write_data_dir(new / name, sets[name])
            if name in trials:
                write_trials(new / name / "trials", trials[name])
            try:
                validate(new / name, need=("wav.scp", "utt2spk", "spk2utt", "utt2emo"))
            except UserError as error:
                raise UserError(str(error).replace(str(new), os.fspath(out))) from None
            write_text(new / "lists" / f"{name}.txt", "".join(f"{row.utt}\n" for row in sets[name]))


def add_to_train(sets: Mapping[str, list[Utterance]], utterances: Sequence[Utterance], source: str) -> None:
    """Add utterances of another corpus to the set `train`, in the order of ids.

    Args:
        sets: set -> utterances; `train` is changed.
        utterances: those to add.
        source: where they come from, for messages.

    Raises:
        UserError: an utterance or a speaker that the sets have already, or times within recordings in only one of both.
    """
    present = [row for members in sets.values() for row in members]
    for attribute, what in (("utt", "utterance"), ("speaker", "speaker")):
        twice = {getattr(row, attribute) for row in utterances} & {getattr(row, attribute) for row in present}
        if twice:
            raise UserError(f"{source}: the {what} '{min(twice)}' is in the corpus that it is to join, too; rename one")
    if len({bool(row.start) for row in (*present, *utterances)}) > 1:
        raise UserError(f"{source}: expected times within recordings in both corpora or in neither, found one with")
    sets["train"].extend(utterances)
    sets["train"].sort(key=lambda row: row.utt)


def write_data_dir(path: str | os.PathLike[str], utterances: Sequence[Utterance]) -> None:
    """Write one data directory. Optional tables are there when an utterance has something to say in them."""
    path = Path(path)
    utt2spk = {row.utt: row.speaker for row in utterances}
    write_table(path / "utt2spk", utt2spk)
    write_table(path / "spk2utt", utts_by_speaker(utt2spk))
    write_table(path / "utt2emo", {row.utt: row.emotion for row in utterances})
    genders = {row.speaker: row.gender for row in utterances}
    if all(genders.values()):
        write_table(path / "spk2gender", genders)
    if any(row.text for row in utterances):
        write_table(path / "text", {row.utt: row.text or UNKNOWN_WORDS for row in utterances})
    for name in ("intensity", "sentence", "repetition"):
        values = {row.utt: getattr(row, name) for row in utterances}
        if any(values.values()):
            write_table(path / f"utt2{name}", {utt: value or "none" for utt, value in values.items()})
    if all(row.start for row in utterances):
        names = _recording_names({row.path for row in utterances})
        write_table(path / "wav.scp", {name: recording for recording, name in names.items()})
        write_table(path / "segments", {row.utt: f"{names[row.path]} {row.start} {row.stop}" for row in utterances})
    else:
        write_table(path / "wav.scp", {row.utt: row.path for row in utterances})
    alignment = [line for row in utterances for line in _ctm(row)]
    if alignment:
        write_text(path / "ctm", "".join(alignment))


def _recording_names(paths: set[str]) -> dict[str, str]:
    stems = Counter("_".join(Path(path).stem.split()) for path in paths)
    names = {}
    for path in paths:
        stem = "_".join(Path(path).stem.split())
        clear = stems[stem] == 1 and not path.endswith("|")
        names[path] = stem if clear else f"{stem}-{sha256(path.encode()).hexdigest()[:8]}"
    return names


def _ctm(row: Utterance) -> list[str]:
    """Return the alignment as lines `utterance 1 start duration word`."""
    items = row.words.split()
    spans = zip(items[::3], items[1::3], items[2::3], strict=True)
    return [f"{row.utt} 1 {float(a):.2f} {float(b) - float(a):.2f} {word}\n" for a, b, word in spans]


def summary(sets: Mapping[str, Sequence[Utterance]]) -> str:
    """Return a table of utterance counts: a row a speaker, a column an emotion, cells train/dev/test/..."""
    counts = Counter((row.speaker, row.emotion, name) for name, members in sets.items() for row in members)
    speakers = sorted({speaker for speaker, _, _ in counts})
    emotions = [emotion for emotion in EMOTIONS if any(key[1] == emotion for key in counts)]

    def cell(speaker: str | None, emotion: str | None) -> str:
        numbers = [
            sum(n for (s, e, k), n in counts.items() if k == name and speaker in (None, s) and emotion in (None, e))
            for name in sets
        ]
        return "/".join(map(str, numbers)) if any(numbers) else "-"

    rows = [["/".join(sets), *emotions, "all"]]
    for speaker in [*speakers, None]:
        rows.append([speaker or "all", *(cell(speaker, emotion) for emotion in [*emotions, None])])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(value.rjust(width) for value, width in zip(row, widths, strict=True)) for row in rows)
