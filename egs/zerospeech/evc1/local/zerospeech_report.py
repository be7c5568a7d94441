#!/usr/bin/env python3
"""Join the figures of stage 7 (bitrate, ABX, speaker probe) of each embedding into one table and one JSON file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evc2.cli import ArgumentParser, run, setup_logging
from evc2.errors import UserError
from evc2.fileio.atomic import write_json, write_text

EMBEDDINGS = {"units": "units (one-hot)", "dense": "vectors of the codes", "mel": "mel spectrogram (for comparison)"}
PARTS = ("bitrate", "abx", "speaker")
OFFICIAL = "ABX by the official task"
OTHER = "ABX by another task than the official one: not to be compared with published figures"


def read_results(folder: Path) -> dict[str, dict[str, Any]]:
    """Return embedding -> part -> figures, of the files <embedding>.<part>.json that are there; none is a UserError."""
    found: dict[str, dict[str, Any]] = {}
    for name in EMBEDDINGS:
        for part in PARTS:
            path = folder / f"{name}.{part}.json"
            if path.is_file():
                found.setdefault(name, {})[part] = json.loads(path.read_text(encoding="utf-8"))
    if not found:
        raise UserError(f"--results {folder}: expected units.bitrate.json and the like, found none")
    return found


def table(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the lines of a Markdown table, a row an embedding; `-` where nothing was measured."""
    distances = list(dict.fromkeys(kind for parts in found.values() for kind in parts.get("abx", {}).get("abx", {})))
    head = ["embedding", "bitrate (bit/s)", "distinct rows", *(f"ABX error (%), {kind}" for kind in distances)]
    rows = [[*head, "speaker accuracy (%), chance"]]
    for name, parts in found.items():
        bitrate, speaker = parts.get("bitrate"), parts.get("speaker")
        errors = parts.get("abx", {}).get("abx", {})
        rows.append(
            [
                EMBEDDINGS[name],
                f"{bitrate['bits_per_second']:.2f}" if bitrate else "-",
                str(bitrate["symbols"]) if bitrate else "-",
                *(f"{errors[kind]['error']:.2f}" if kind in errors else "-" for kind in distances),
                f"{speaker['accuracy']:.1f}, {speaker['chance']:.1f}" if speaker else "-",
            ]
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


def notes(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what has to be known to read the table."""
    units = found.get("units", {})
    lines = []
    if "bitrate" in units:
        rate = units["bitrate"]
        lines.append(
            f"- Bitrate: {rate['rows']} rows of {rate['files']} sentences, {rate['seconds']:.1f} s, entropy "
            f"{rate['entropy']:.3f} bit a row. Vectors have as many symbols as there are distinct ones."
        )
        if rate["missing"]:
            lines.append(f"- {len(rate['missing'])} files of the bitrate list have no embedding and were left out.")
    if "abx" in units:
        abx = units["abx"]
        one = next(iter(abx["abx"].values()))
        what = f"{one['phone_pairs']} phone pairs, {one['speaker_pairs']} speaker pairs, {one['contexts']} contexts"
        lines.append(f"- {OFFICIAL if abx['official'] else OTHER} ({Path(abx['task']).name}): {what}; chance is 50 %.")
    else:
        lines.append("- No ABX: there was no task (stage 1: --local_data_opts '--abx_task FILE').")
    if "speaker" in units:
        one = units["speaker"]
        lines.append(
            f"- Speaker accuracy: how often a linear classifier, trained on the first 3/4 of each sentence, names the "
            f"speaker of the rest; {one['speakers']} speakers, {one['test']} segments of about 2 s. Less is better."
        )
    about = next((parts["about"] for row in found.values() for parts in row.values() if "about" in parts), None)
    if about:
        lines.append(f"- evc2 {about['commit']}, {about['date']}")
    return lines


def get_parser() -> ArgumentParser:
    """Return the option parser."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--results", required=True, help="folder with <units|dense|mel>.<bitrate|abx|speaker>.json")
    parser.add_argument("--title", required=True, help="corpus, split and set")
    parser.add_argument("--out", required=True, help="OUT.md and OUT.json to write")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    found = read_results(Path(args.results))
    write_json(f"{args.out}.json", {"title": args.title, "embeddings": found})
    lines = [f"# Units of {args.title}", "", *table(found), "", *notes(found)]
    write_text(f"{args.out}.md", "\n".join(lines) + "\n")


if __name__ == "__main__":
    run(main)
