"""A table of the figures that the scripts of this folder printed: what, case, plain, ours, ratio.

Standard library only. Usage: table.py FILE, a file of JSON lines; later lines of the same figure replace earlier ones.
JSON that is no figure, as in a file of an earlier version, is left out with a note.
"""

import json
import sys
from collections.abc import Iterable
from typing import Any

HEADER = ("what", "case", "unit", "plain", "ours", "ratio")


def read_lines(lines: Iterable[str], where: str) -> list[dict[str, Any]]:
    """The figures, the last of each; a last line that was cut off is left out, JSON of another form with a note.

    Raises:
        ValueError: a line that is no JSON, or lines of which none is of the common form.
    """
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    others: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or not line.endswith("\n"):
            continue  # a stop in the middle of writing leaves half a line at the end
        message = f"{where}:{number}: expected a JSON object with {', '.join(HEADER)}, found {line.strip()[:80]!r}"
        try:
            figure = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(message) from error
        if not isinstance(figure, dict) or not all(isinstance(figure.get(name), str) for name in HEADER[:3]):
            others.append(message)
            continue
        key = (figure["what"], figure["case"], figure["unit"])
        found.pop(key, None)
        found[key] = figure
    if others and not found:
        raise ValueError(others[0])
    if others:
        print(f"table.py: left out {len(others)} of the lines; {others[0]}", file=sys.stderr)
    return list(found.values())


def cell(value: Any) -> str:
    """A number in as many digits as it has, ``-`` where there is none."""
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def render(figures: Iterable[dict[str, Any]]) -> str:
    """A Markdown table with aligned columns; numbers to the right."""
    rows = [HEADER, *([cell(figure.get(name)) for name in HEADER] for figure in figures)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADER))]
    lines = []
    for number, row in enumerate(rows):
        cells = [text.rjust(n) if i > 2 else text.ljust(n) for i, (text, n) in enumerate(zip(row, widths, strict=True))]
        lines.append(f"| {' | '.join(cells)} |")
        if number == 0:
            lines.append("|" + "|".join("-" * (n + 1) + ("-" if i < 3 else ":") for i, n in enumerate(widths)) + "|")
    return "\n".join(lines)


def main() -> None:
    """Print the table of a file."""
    if len(sys.argv) != 2:
        sys.exit("usage: table.py FILE")
    try:
        with open(sys.argv[1], encoding="utf-8") as f:
            print(render(read_lines(f, sys.argv[1])))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        sys.exit(f"table.py: error: {error}")


if __name__ == "__main__":
    main()
