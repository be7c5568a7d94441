"""The option parser, error reporting and the dispatcher's imports."""

import errno
import subprocess
import sys

import pytest

from evc2.cli import ArgumentParser, parse_bool, run
from evc2.errors import UserError, nearest


@pytest.fixture
def parser():
    parser = ArgumentParser(prog="prog")
    parser.add_argument("--batch_size", type=int, default=8, help="Utterances a batch.")
    parser.add_argument("--trim", type=parse_bool, default=True)
    parser.add_argument("--metrics", nargs="+", default=["mcd"], choices=["mcd", "f0"])
    parser.add_argument("--plot", action="store_true")
    parser.add_argument("--out", required=True)
    return parser


def fails(parser, capsys, *words):
    with pytest.raises(SystemExit) as left:
        parser.parse_args(list(words))
    assert left.value.code == 2
    return capsys.readouterr().err


def test_command_line_before_file_before_default(parser, tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("batch-size: 4\ntrim: false\nmetrics: [f0, mcd]\nplot: true\nout: there\n")
    args = parser.parse_args(["--config", str(config), "--batch-size", "2"])
    assert (args.batch_size, args.trim, args.metrics, args.plot, args.out) == (2, False, ["f0", "mcd"], True, "there")
    # The file's values were for that call only.
    args = parser.parse_args(["--out", "x"])
    assert (args.batch_size, args.trim, args.metrics, args.plot) == (8, True, ["mcd"], False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch_sise: 4", "unknown key 'batch_sise' (did you mean batch_size?)"),
        ("batch_size: many", "batch_size: invalid int value: 'many'"),
        ("batch_size: [1, 2]", "batch_size: expected one value"),
        ("metrics: mcd", "metrics: expected a list"),
        ("metrics: [mdc]", "metrics: 'mdc' is not one of mcd, f0 (did you mean mcd?)"),
        ("trim: maybe", "trim: expected true or false, found 'maybe'"),
        ("plot: 3", "plot: expected true or false"),
        ("help: true", "unknown key 'help'"),
        ("- a", "expected `key: value` lines, found a list"),
        ("a: [", "is not valid YAML"),
        ("a: !!python/object/apply:os.system [ls]", "is not valid YAML"),
    ],
)
def test_bad_config_names_file_and_key(parser, tmp_path, capsys, text, message):
    config = tmp_path / "c.yaml"
    config.write_text(text)
    error = fails(parser, capsys, "--config", str(config), "--out", "x")
    assert message in error and str(config) in error


def test_missing_config(parser, capsys):
    assert "cannot read nowhere.yaml" in fails(parser, capsys, "--config=nowhere.yaml")


def test_unknown_option_names_the_nearest(parser, capsys):
    assert "unknown option --metricks (did you mean --metrics?)" in fails(
        parser, capsys, "--out", "x", "--metricks", "mcd"
    )
    # No abbreviations: a new option must not change what an old command line means.
    assert "unknown option --batch" in fails(parser, capsys, "--out", "x", "--batch", "2")


def test_help_shows_every_default(parser, capsys):
    with pytest.raises(SystemExit) as left:
        parser.parse_args(["--help"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    assert "Utterances a batch. (default: 8)" in text and "(default: true)" in text and "(default: ['mcd'])" in text


@pytest.mark.parametrize("word", ["yes", "1", "", "truth"])
def test_parse_bool_takes_two_words_only(word):
    assert parse_bool("true") is True and parse_bool("False") is False
    with pytest.raises(Exception, match="expected true or false"):
        parse_bool(word)


def test_nearest():
    assert nearest("angri", ["happy", "angry"]) == " (did you mean angry?)"
    assert nearest("xyzzy", ["happy", "angry"]) == ""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UserError("no such thing"), "prog: error: no such thing"),
        (OSError(errno.ENOSPC, "No space left on device", "a/b.ark"), "prog: error: No space left on device: a/b.ark"),
        (KeyboardInterrupt(), "prog: error: interrupted"),
    ],
)
def test_run_reports_in_one_line(capsys, error, message):
    def main():
        raise error

    with pytest.raises(SystemExit) as left:
        run(main, name="prog")
    assert left.value.code == 1
    assert capsys.readouterr().err.strip() == message


def test_run_hides_no_defect_of_the_program():
    def main():
        raise OSError(errno.EBADF, "Bad file descriptor")

    with pytest.raises(OSError, match="Bad file"):
        run(main, name="prog")


def test_output_into_a_closed_pipe_is_silent():
    code = "from evc2.cli import run; run(lambda: [print('x' * 1000) for _ in range(10000)])"
    done = subprocess.run(
        ["bash", "-c", '"$0" -c "$1" | head -n 1', sys.executable, code], capture_output=True, text=True, check=True
    )
    assert done.stderr == "" and done.stdout.startswith("x")


def test_fileio_and_cli_need_no_torch():
    code = "import sys, evc2.fileio.ark, evc2.fileio.audio, evc2.fileio.datadir, evc2.cli, evc2.bin.evc2 as e"
    code += "; e.usage(); sys.exit(bool({'torch', 'kaldiio', 'espnet2'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)
