"""Kaldi-style data directories: reading, checking, mending, cutting and joining them; and lists of trials.

Which file is about what (the key in its first column) follows from its name:
  recordings  wav.scp and reco2* when there is a `segments` file
  speakers    spk2*
  utterances  utt2*, text, segments, *.scp (wav.scp too when there is no `segments` file)
Other files (trials apart) are left as they are, and are not copied.
"""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from evc2.errors import UserError, nearest
from evc2.fileio.atomic import atomic_path, write_text
from evc2.fileio.tables import read_table, rows, write_table
from evc2.fileio.trials import EMOTIONS, Trial, read_trials, trial_lines, write_trials

__all__ = [
    "EMOTIONS",
    "DataDir",
    "Trial",
    "combine",
    "fix",
    "read_table",
    "read_trials",
    "subset",
    "utts_by_speaker",
    "validate",
    "write_table",
    "write_trials",
]

NEED = ("wav.scp", "utt2spk", "spk2utt")
_LOOKED_INTO = ("utt2spk", "spk2utt", "segments", "utt2emo", "spk2gender")  # by `validate`; of others the keys count
_SHOWN = 20  # problems listed one by one before the rest is only counted


class DataDir:
    """A data directory, read on demand.

    Args:
        path: the folder.

    Raises:
        UserError: the folder does not exist.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise UserError(f"{self.path}: expected a data directory (wav.scp, utt2spk ...), found no such folder")
        self._tables: dict[str, dict[str, str]] = {}

    def has(self, name: str) -> bool:
        """Say whether the directory has the file `name`."""
        return (self.path / name).is_file()

    def table(self, name: str) -> dict[str, str]:
        """Return the table `name` (read once; not a copy). A missing, empty or unsorted file is a UserError."""
        if name not in self._tables:
            if not self.has(name):
                present = sorted(p.name for p in self.path.iterdir() if p.is_file())
                raise UserError(f"{self.path}: expected a file '{name}', found: {' '.join(present) or 'no files'}")
            self._tables[name] = read_table(self.path / name, check_sorted=True)
        return self._tables[name]

    @property
    def utts(self) -> list[str]:
        """The utterance ids, in order."""
        return list(self.table("utt2spk"))

    @property
    def speakers(self) -> list[str]:
        """The speaker ids, in order."""
        return sorted(set(self.table("utt2spk").values()))

    @cached_property
    def segments(self) -> dict[str, tuple[str, float, float]] | None:
        """Utterance -> (recording, first second, last second; -1 for the end), or None without a `segments` file."""
        if not self.has("segments"):
            return None
        return {utt: parse_segment(self.path / "segments", utt, row) for utt, row in self.table("segments").items()}


def parse_segment(path: Path, utt: str, row: str) -> tuple[str, float, float]:
    """Read `recording start stop` of a segments line; a malformed one is a UserError."""
    fields = row.split()
    try:
        recording, start, stop = fields[0], float(fields[1]), float(fields[2])
        good = len(fields) == 3 and 0 <= start < float("inf") and (start < stop < float("inf") or stop == -1)
    except (IndexError, ValueError):
        good = False
    if not good:
        raise UserError(f"{path}: {utt}: expected `recording start stop` in seconds with start < stop, found '{row}'")
    return recording, start, stop


def utts_by_speaker(utt2spk: Mapping[str, str]) -> dict[str, str]:
    """Turn utterance -> speaker into the rows of spk2utt: speaker -> "utt utt ..."."""
    lists: dict[str, list[str]] = {}
    for utt in sorted(utt2spk):
        lists.setdefault(utt2spk[utt], []).append(utt)
    return {speaker: " ".join(lists[speaker]) for speaker in sorted(lists)}


PARTIAL = ("durations.scp", "spembs.scp")
"""Tables that may lack utterances: those that could not be aligned, or have no speaker vector."""


def _files(path: Path, kind: str) -> list[str]:
    """Return the names of the files in `path` whose key is an "utt", "spk" or "reco"."""
    cut = (path / "segments").is_file()
    found = []
    names = (p.name for p in path.iterdir() if p.is_file() and not p.name.startswith(".") and p.suffix != ".ark")
    for name in sorted(names):
        if name.startswith("reco2") or (name == "wav.scp" and cut):
            is_kind = "reco"
        elif name.startswith("spk2"):
            is_kind = "spk"
        elif name.startswith("utt2") or name in ("text", "segments") or name.endswith(".scp"):
            is_kind = "utt"
        else:
            continue
        if is_kind == kind:
            found.append(name)
    return found


def validate(path: str | os.PathLike[str], need: Sequence[str] = NEED) -> None:
    """Check a data directory by Kaldi's rules and ours; one UserError lists everything that is wrong.

    Checked: files of `need` exist; every table is sorted, without duplicates or empty values; utterance ids start
    with their speaker's id; spk2utt mirrors utt2spk; all tables are about the same utterances, recordings and
    speakers; segments are well formed; utt2emo uses EMOTIONS; spk2gender m or f; trials are well formed.

    Args:
        path: the data directory.
        need: names of the files that must exist.
    """
    data = DataDir(path)
    problems = [f"{name} is missing" for name in need if not data.has(name)]
    tables: dict[str, dict[str, str]] = {}
    for kind in ("utt", "spk", "reco"):
        for name in _files(data.path, kind):
            try:
                table = read_table(data.path / name, check_sorted=True)
            except UserError as error:
                problems.append(str(error))
                continue
            tables[name] = table if name in _LOOKED_INTO else dict.fromkeys(table, "")  # the rest would be much
    if "utt2spk" in tables:
        problems += _contradictions(data, tables)
    if data.has("trials"):
        try:
            read_trials(data.path / "trials")
        except UserError as error:
            problems.append(str(error))
    if problems:
        shown = "\n  ".join(problems[:_SHOWN])
        more = f"\n  and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise UserError(
            f"{data.path} is not a valid data directory:\n  {shown}{more}\n"
            f"utils/fix_data_dir.sh {data.path} sorts it and drops what is not in all of its files"
        )


def _contradictions(data: DataDir, tables: dict[str, dict[str, str]]) -> list[str]:
    utt2spk = tables["utt2spk"]
    problems = []
    for utt, speaker in utt2spk.items():
        if not utt.startswith(speaker):
            problems.append(f"utt2spk: utterance '{utt}' does not start with its speaker's id '{speaker}'")
    if list(utt2spk.values()) != sorted(utt2spk.values()):
        problems.append("utt2spk: speakers are not in order when utterances are; use ids like SPEAKER-UTTERANCE")
    if "spk2utt" in tables and tables["spk2utt"] != utts_by_speaker(utt2spk):
        problems.append("spk2utt does not list the same as utt2spk (utils/utt2spk_to_spk2utt.pl makes it)")
    expected = {"utt": set(utt2spk), "spk": set(utt2spk.values()), "reco": None}
    if "segments" in tables:
        recordings = set()
        for utt, row in tables["segments"].items():
            try:
                recordings.add(parse_segment(Path("segments"), utt, row)[0])
            except UserError as error:
                problems.append(str(error))
        expected["reco"] = recordings
    for kind, keys in expected.items():
        for name in _files(data.path, kind) if keys is not None else ():
            found = set(tables.get(name, keys))
            problems += _difference(name, found, keys & found if name in PARTIAL else keys)
    for utt, emotion in tables.get("utt2emo", {}).items():
        if emotion not in EMOTIONS:
            problems.append(f"utt2emo: {utt}: unknown emotion '{emotion}'{nearest(emotion, EMOTIONS)}")
    for speaker, gender in tables.get("spk2gender", {}).items():
        if gender not in ("m", "f"):
            problems.append(f"spk2gender: {speaker}: expected m or f, found '{gender}'")
    return problems


def _difference(name: str, found: set[str], expected: set[str]) -> list[str]:
    problems = []
    for keys, what in ((expected - found, "lacks"), (found - expected, "has, unlike the other files,")):
        if keys:
            first = sorted(keys)
            problems.append(f"{name} {what} {len(keys)}: {' '.join(first[:3])}{' ...' if len(first) > 3 else ''}")
    return problems


def _read_loosely(path: Path) -> dict[str, str]:
    """Read a table that may be unsorted or hold duplicates or empty values; say what is dropped."""
    table: dict[str, str] = {}
    for number, key, value in rows(path):
        if not value:
            logging.warning("%s:%d: dropped '%s': no value", path, number, key)
        elif table.setdefault(key, value) != value:
            logging.warning("%s:%d: dropped a second '%s'; the first one stays", path, number, key)
    return table


def fix(path: str | os.PathLike[str]) -> None:
    """Sort the tables, drop what is not in all of them, and make spk2utt anew. The old files go to `.backup`.

    Utterances stay that have a speaker, a place in every utterance table and a recording; speakers and recordings
    stay that are still used; trials stay whose utterances do. Of two rows with one key the first stays. A second
    call changes nothing.

    Raises:
        UserError: no utt2spk or no wav.scp, or nothing would be left.
    """
    data = DataDir(path)
    if not (data.has("utt2spk") and data.has("wav.scp")):
        raise UserError(f"{data.path}: cannot be mended without utt2spk and wav.scp")
    kinds = {kind: _files(data.path, kind) for kind in ("utt", "spk", "reco")}
    tables = {name: _read_loosely(data.path / name) for names in kinds.values() for name in names}
    known = set().union(*(tables[name] for name in kinds["utt"]))
    # utt2* files beside utt2spk are notes about some utterances in Kaldi; here all must cover all (see validate).
    utts = set.intersection(*(set(tables[name]) for name in kinds["utt"]))
    if "segments" in tables:
        utts = _with_recording(data.path, tables, kinds["reco"], utts)
    with_notes = set.intersection(
        set(tables["utt2spk"].values()), *(set(tables[name]) for name in kinds["spk"] if name != "spk2utt")
    )
    utts = {utt for utt in utts if tables["utt2spk"][utt] in with_notes}
    if not utts:
        raise UserError(f"{data.path}: no utterance is in all of its files ({' '.join(sorted(tables))})")
    if len(utts) < len(known):
        logging.warning("%s: kept %d of %d utterances", data.path, len(utts), len(known))
    new = _restricted(tables, kinds, utts)
    trials = _kept_trials(data.path, known - utts)
    _write_changed(data.path, new, trials)


def _with_recording(path: Path, tables: dict[str, dict[str, str]], reco: list[str], utts: set[str]) -> set[str]:
    recordings = set.intersection(*(set(tables[name]) for name in reco))
    kept = set()
    for utt in utts:
        try:
            recording, _, _ = parse_segment(path / "segments", utt, tables["segments"][utt])
        except UserError as error:
            logging.warning("dropped: %s", error)
            continue
        if recording in recordings:
            kept.add(utt)
    return kept


def _kept_keys(tables: Mapping[str, dict[str, str]], utts: set[str]) -> dict[str, set[str]]:
    """Return `utts`, their speakers and their recordings, by what utt2spk and, where there is one, segments say."""
    keep = {"utt": utts, "spk": {tables["utt2spk"][utt] for utt in utts}, "reco": set()}
    if "segments" in tables:
        keep["reco"] = {tables["segments"][utt].split()[0] for utt in utts}
    return keep


def _restricted(
    tables: dict[str, dict[str, str]], kinds: dict[str, list[str]], utts: set[str]
) -> dict[str, dict[str, str]]:
    """Return the tables with only `utts`, their speakers and their recordings, and spk2utt made from utt2spk."""
    keep = _kept_keys(tables, utts)
    new = {}
    for kind, names in kinds.items():
        for name in names:
            new[name] = {key: value for key, value in tables[name].items() if key in keep[kind]}
    new["spk2utt"] = utts_by_speaker(new["utt2spk"])
    return new


def _kept_trials(path: Path, dropped: set[str]) -> list[Trial] | None:
    if not (path / "trials").is_file():
        return None
    return [t for t in read_trials(path / "trials") if t.source not in dropped and t.reference not in dropped]


def _write_changed(path: Path, tables: dict[str, dict[str, str]], trials: list[Trial] | None) -> None:
    texts = {name: "".join(f"{key} {table[key]}\n" for key in sorted(table)) for name, table in tables.items()}
    if trials is not None:
        texts["trials"] = trial_lines(trials)
    for name, text in texts.items():
        file = path / name
        old = file.read_bytes() if file.is_file() else None
        if old == text.encode():
            continue
        if old is not None:
            with atomic_path(path / ".backup" / name) as copy:
                copy.write_bytes(old)
        write_text(file, text)


def _clear(path: Path) -> None:
    # Tables of an earlier run that the new ones would not replace would contradict them.
    if path.is_dir():
        for kind in ("utt", "spk", "reco"):
            for name in _files(path, kind):
                (path / name).unlink()
        (path / "trials").unlink(missing_ok=True)


def subset(src: str | os.PathLike[str], dst: str | os.PathLike[str], utts: Iterable[str]) -> None:
    """Make a data directory `dst` of some of the utterances of `src`, with every table cut to them.

    Trials stay when all their utterances do.

    Raises:
        UserError: an utterance is not in `src`, none is given, or `dst` is `src`.
    """
    data, dst = DataDir(src), Path(dst)
    wanted = set(utts)
    known = set(data.table("utt2spk"))
    if not wanted:
        raise UserError(f"{data.path}: a subset without utterances was asked for")
    if wanted - known:
        first = sorted(wanted - known)[0]
        raise UserError(f"{data.path}: {len(wanted - known)} unknown utterances: '{first}'{nearest(first, known)} ...")
    if dst.exists() and dst.resolve() == data.path.resolve():
        raise UserError(f"{dst}: source and destination are one folder; choose another destination")
    kinds = {kind: _files(data.path, kind) for kind in ("utt", "spk", "reco")}
    for name in (name for names in kinds.values() for name in names):
        read_table(data.path / name, check_sorted=True)  # what is wrong comes out before anything is written
    trials = _kept_trials(data.path, known - wanted)
    keep = _kept_keys({name: data.table(name) for name in ("utt2spk", "segments") if data.has(name)}, wanted)
    _clear(dst)
    for kind, names in kinds.items():
        for name in filter("spk2utt".__ne__, names):  # one by one: all tables of a large corpus would be much
            table = read_table(data.path / name)
            _write_changed(dst, {name: {key: value for key, value in table.items() if key in keep[kind]}}, None)
    utt2spk = {utt: speaker for utt, speaker in data.table("utt2spk").items() if utt in wanted}
    _write_changed(dst, {"spk2utt": utts_by_speaker(utt2spk)}, trials)


def combine(dst: str | os.PathLike[str], srcs: Sequence[str | os.PathLike[str]]) -> None:
    """Join data directories. Tables that only some of them have are left out, with a warning.

    Where only some have `segments`, the others get segments that span whole recordings.

    Raises:
        UserError: no source, an utterance in two sources, or contradicting rows about a speaker or a recording.
    """
    if not srcs:
        raise UserError("combine: no source directories given")
    dst, sources = Path(dst), [DataDir(src) for src in srcs]
    cut = any(source.has("segments") for source in sources)
    parts: list[dict[str, dict[str, str]]] = []
    for source in sources:
        if dst.exists() and source.path.resolve() == dst.resolve():
            raise UserError(f"{dst}: is both a source and the destination; choose another destination")
        part = {name: source.table(name) for kind in ("utt", "spk", "reco") for name in _files(source.path, kind)}
        if "utt2spk" not in part:
            source.table("utt2spk")  # raises the error that says what is there instead
        if cut and "segments" not in part:
            part["segments"] = {utt: f"{utt} 0 -1" for utt in part["utt2spk"]}
        parts.append(part)
    merged: dict[str, dict[str, str]] = {}
    for name in sorted(set().union(*parts)):
        having = [i for i, part in enumerate(parts) if name in part]
        if len(having) < len(parts):
            logging.warning("combine: %s left out: only in %s", name, " ".join(str(srcs[i]) for i in having))
        elif name != "spk2utt":
            unique = not (name.startswith(("spk2", "reco2")) or (name == "wav.scp" and cut))
            merged[name] = _merged(name, [part[name] for part in parts], srcs, unique)
    merged["spk2utt"] = utts_by_speaker(merged["utt2spk"])
    trials = None
    if all(source.has("trials") for source in sources):
        trials = [trial for source in sources for trial in read_trials(source.path / "trials")]
        if len({trial.id for trial in trials}) < len(trials):
            raise UserError("combine: a trial id is in two sources; rename one")
    _clear(dst)
    _write_changed(dst, merged, trials)


def _merged(name: str, parts: list[dict[str, str]], srcs: Sequence[object], unique: bool) -> dict[str, str]:
    merged: dict[str, str] = {}
    for part, src in zip(parts, srcs, strict=True):
        for key, value in part.items():
            if key in merged and (unique or merged[key] != value):
                raise UserError(f"combine: '{key}' in {src}/{name} is also in another source; rename one of the two")
            merged[key] = value
    return merged
