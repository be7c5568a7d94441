"""Write the manifest of recordings that lie in a folder for each speaker (or instrument): DB/<speaker>/**/*.wav."""

from collections.abc import Sequence
from pathlib import Path

from evc2.cli import ArgumentParser, parse_bool, run, setup_logging

HOW = "Give a folder with <speaker>/*.wav, e.g. DB/anna/take1.wav, as --db_root."


def get_parser() -> ArgumentParser:
    """Return the option parser."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--db_root", default="", help="folder with <speaker>/**/*.{wav,flac,ogg,mp3}")
    parser.add_argument("--manifest", required=True, help="TSV to write, for make_data")
    parser.add_argument(
        "--same_names", type=parse_bool, default=False, help="recordings of one name say the same words (parallel)"
    )
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(cmd)
    setup_logging()
    from evc2.fileio.folders import read_folders
    from evc2.fileio.manifest import require_folder, write_manifest

    root: Path = require_folder(args.db_root, "a folder for each speaker", HOW)
    write_manifest(args.manifest, read_folders(root, args.same_names))


if __name__ == "__main__":
    run(main)
