#!/usr/bin/env python3
"""Tell whether a stage that finished is still up to date. Needs evc2.fileio.atomic and the standard library only.

  stage_done.py check MARK INPUTS   exit 0 if MARK was written for these inputs and what it recorded is still there;
                                    else exit 1 and, where there is a mark, print what changed; exit 3 and say so if
                                    an input table of an earlier stage names files that are gone
  stage_done.py write MARK INPUTS --outputs FILE...

INPUTS: --inputs FILE_OR_FOLDER...  contents (by size and time of change from 1 MiB on); of a folder the files right in
                                    it, other than audio, arks and logs
        --scp TABLE...              as --inputs, and size and time of change of every file that TABLE names
        --tree FOLDER...            names, sizes and times of change of all that is below
        --options TEXT              anything else the result depends on
Of an output that is a table (.scp), the files that it names are recorded too, by size.
An input that does not exist counts as such: it changes when it appears.
Where there is work (check), and after it (write), unfinished files that killed runs left below MARK's folder go.
"""

import argparse
import hashlib
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from evc2.fileio.atomic import remove_leftovers, write_text

SMALL = 1 << 20  # bytes; below it the content decides, so that a touched or copied file counts as unchanged
BULK = {".ark", ".wav", ".flac", ".ogg", ".mp3", ".log", ".tmp"}
_OFFSET = re.compile(r":\d+$")  # of an ark's entry
_STAGE = re.compile(r"\.stage(\d+)")  # name of a stage's mark


def _stat(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return "missing"
    return f"{found.st_size}:{found.st_mtime_ns}"


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def of_file(path: Path) -> str:
    """Fingerprint of a file by content, of a large one by size and time, of a folder by the files right in it."""
    if path.is_dir():
        names = sorted(p.name for p in path.iterdir() if p.is_file() and p.suffix not in BULK and p.name[0] != ".")
        return "folder:" + _digest([f"{name} {of_file(path / name)}" for name in names])
    try:
        size = path.stat().st_size
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if size < SMALL else _stat(path)
    except OSError:
        return "missing"


def named_in(path: Path) -> list[str]:
    """The files in the second column of a table, each once; OSError where there is no table."""
    files = set()
    with open(path, encoding="utf-8", errors="surrogateescape") as table:
        for line in table:
            entry = line.strip().partition(" ")[2].strip()
            if entry and not entry.endswith("|"):
                files.add(_OFFSET.sub("", entry))
    return sorted(files)


def of_scp(path: Path) -> str:
    """Fingerprint of a table and of the files in its second column; a pipe counts as its text."""
    try:
        files = named_in(path)
    except OSError:
        return "missing"
    return of_file(path) + ":" + _digest([f"{name} {_stat(Path(name))}" for name in files])


def sizes_of(path: Path) -> str:
    """Fingerprint of the files that a table names, by size: a copy of the folder elsewhere is as good."""
    try:
        return _digest([f"{name} {_stat(Path(name)).partition(':')[0]}" for name in named_in(path)])
    except OSError:
        return "missing"


def lost(tables: Sequence[Path]) -> str | None:
    """What is missing among the files of tables that a stage's mark, beside the table, counts as its outputs.

    Files of other tables are not looked at: of a corpus some may be gone, and the stage that reads it counts them.
    """
    for table in tables:
        for mark in table.parent.glob(".stage*"):
            stage = _STAGE.fullmatch(mark.name)
            try:
                made = json.loads(mark.read_text(encoding="utf-8"))["outputs"]
                gone = [name for name in named_in(table) if not os.path.exists(name)] if str(table) in made else []
            except (OSError, ValueError, KeyError, TypeError):
                continue
            if stage and gone:
                more = f" and {len(gone) - 1} more files" if len(gone) > 1 else ""
                how = f"stage {stage[1]} makes what it names; run with --stage {stage[1]} first"
                return f"{table} names {gone[0]}{more}, missing now; {how}"
    return None


def of_tree(path: Path) -> str:
    """Fingerprint of all files below a folder by name, size and time of change; hidden ones are left out."""
    if not path.is_dir():
        return of_file(path)
    lines = []
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(name for name in folders if name[0] != "." and name != "__pycache__")
        lines += [
            f"{os.path.join(folder, name)} {_stat(Path(folder, name))}" for name in sorted(names) if name[0] != "."
        ]
    return "tree:" + _digest(lines)


def fingerprints(args: argparse.Namespace) -> dict[str, str]:
    """All inputs of the command line: name -> fingerprint."""
    found = {"options": args.options}
    for paths, function in ((args.inputs, of_file), (args.scp, of_scp), (args.tree, of_tree)):
        found.update({str(path): function(path) for path in paths})
    return found


def check(mark: Path, inputs: dict[str, str]) -> str | None:
    """Return None if the mark holds these inputs and its outputs are as they were, "" without a mark, or the reason."""
    try:
        recorded = json.loads(mark.read_text(encoding="utf-8"))
        before, outputs = dict(recorded["inputs"]), dict(recorded["outputs"])
        files = dict(recorded.get("files", {}))  # earlier versions recorded none
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, KeyError, TypeError):
        return f"{mark} cannot be read"
    for name in sorted(before.keys() | inputs.keys()):
        if before.get(name) != inputs.get(name):
            return "its options changed" if name == "options" else f"{name} changed"
    for name, value in outputs.items():
        if of_file(Path(name)) != value:
            return f"{name} is missing or changed since"
    for name, value in files.items():
        if sizes_of(Path(name)) != value:
            return f"files named in {name} are missing or changed since"
    return None


def write(mark: Path, inputs: dict[str, str], outputs: Sequence[Path]) -> None:
    """Write the mark, atomically. A missing output is an error: the stage has not done its work."""
    missing = [str(path) for path in outputs if not path.exists()]
    if missing:
        sys.exit(f"stage_done.py: error: expected {', '.join(missing)}, which the stage has not left")
    content = {"inputs": inputs, "outputs": {str(path): of_file(path) for path in outputs}}
    content["files"] = {str(path): sizes_of(path) for path in outputs if path.suffix == ".scp"}
    try:
        write_text(mark, json.dumps(content, indent=1))
    except OSError as error:
        sys.exit(f"stage_done.py: error: {mark} cannot be written: {error.strerror}")


def get_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["check", "write"])
    parser.add_argument("mark", type=Path)
    for name in ("inputs", "scp", "tree", "outputs"):
        parser.add_argument(f"--{name}", type=Path, nargs="*", default=[], action="extend")
    parser.add_argument("--options", default="")
    return parser


def main(cmd: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    args = get_parser().parse_args(cmd)
    inputs = fingerprints(args)
    if args.action == "write":
        write(args.mark, inputs, args.outputs)
        remove_leftovers(args.mark.parent)
        return 0
    reason = lost(args.scp)
    if reason:
        print(reason)
        return 3
    reason = check(args.mark, inputs)
    if reason is not None:
        remove_leftovers(args.mark.parent)
    if reason:
        print(reason)
    return 0 if reason is None else 1


if __name__ == "__main__":
    sys.exit(main())
