"""The console script: `evc2 COMMAND ...` runs evc2.bin.COMMAND."""

import ast
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from evc2 import __version__
from evc2.cli import nearest, run
from evc2.errors import UserError

USAGE = """usage: evc2 COMMAND [options]      run a command; the same as `python -m evc2.bin.COMMAND`
       evc2 COMMAND --help         list its options
       evc2 --version

commands:"""


def commands() -> dict[str, str]:
    """Return name -> first line of the docstring for each command. The files are parsed, not imported."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.stem.startswith("_") or path.stem == Path(__file__).stem:
            continue
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        found[path.stem] = text.split("\n")[0]
    return found


def usage() -> str:
    """Return the text of `evc2 --help`."""
    table = commands()
    width = max((len(name) for name in table), default=0)
    return "\n".join([USAGE, *(f"  {name:<{width}}  {text}" for name, text in table.items())])


def dispatch(cmd: Sequence[str]) -> None:
    """Run the command named by the first word with the rest as its options; an unknown name is a UserError."""
    if not cmd or cmd[0] in ("-h", "--help", "help"):
        print(usage())
        return
    if cmd[0] == "--version":
        print(f"evc2 {__version__}")
        return
    name = cmd[0].replace("-", "_")
    known = commands()
    if name not in known:
        raise UserError(f"unknown command '{cmd[0]}'{nearest(name, known)}; 'evc2 --help' lists the commands")
    # The command's own messages and --help then call it by the name the user typed.
    sys.argv = [f"evc2 {name}", *cmd[1:]]
    module = importlib.import_module(f"evc2.bin.{name}")
    run(lambda: module.main(list(cmd[1:])))


def main(cmd: Sequence[str] | None = None) -> None:
    """Entry point of the console script."""
    run(lambda: dispatch(sys.argv[1:] if cmd is None else cmd), name="evc2")


if __name__ == "__main__":
    main()
