"""utils/parse_options.sh, driven through a script that sources it."""

import subprocess
from pathlib import Path

import pytest

UTILS = Path(__file__).resolve().parents[2] / "utils"
SCRIPT = r"""#!/usr/bin/env bash
set -euo pipefail
SECONDS=0
helper() { local hidden=1; echo "$hidden"; }

# General
stage=1              # First stage.
skip_train=false     # Skip the training.
nj=32                # Number of jobs
                     # (second line # with a hash).
# Data
db_root=             # Where the corpus is; it's "there".
name="a # b"         # Has a hash in its default.
url=http://h#frag
_private=3
. UTILS/parse_options.sh
late=1
printf '%s|' "$stage" "$skip_train" "$nj" "$db_root" "$name" "$url" "$_private" "$late" "$@"
compgen -v | grep ^_po_ && exit 9
declare -F | grep _po_ && exit 9
exit 0
"""


@pytest.fixture
def call(tmp_path):
    script = tmp_path / "script.sh"
    script.write_text(SCRIPT.replace("UTILS", str(UTILS)))

    def call(*words):
        return subprocess.run(["bash", script, *words], capture_output=True, text=True, cwd=tmp_path)

    return call


def values(done):
    assert done.returncode == 0, done.stderr
    return done.stdout.split("|")[:-1]


DEFAULTS = ["1", "false", "32", "", "a # b", "http://h#frag", "3", "1"]


def test_defaults_and_positional_words_stay(call):
    assert values(call()) == DEFAULTS
    assert values(call("--stage", "2", "x y", "--nj", "3")) == ["2", *DEFAULTS[1:], "x y", "--nj", "3"]
    assert values(call("--", "--nj")) == [*DEFAULTS, "--nj"]


def test_ways_to_write_an_option(call):
    assert values(call("--skip-train", "true", "--nj=8", "--db_root="))[:4] == ["1", "true", "8", ""]


@pytest.mark.parametrize(
    "value", ["it's", 'a "b"', "$HOME `ls` $(ls)", "a\\b", "-5", "--max_epoch 3", "a=b", "*", " x ", "a\nb"]
)
def test_values_are_never_evaluated(call, value):
    assert values(call("--name", value))[4] == value
    assert values(call(f"--db_root={value}"))[3] == value


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--stge", "3"], "unknown option --stge (did you mean --stage?)"),
        (["--skip-trian=true"], "unknown option --skip-trian (did you mean --skip_train?)"),
        (["--zzzzzzz", "3"], "unknown option --zzzzzzz\n"),
        (["--PATH", "x"], "unknown option --PATH"),
        (["--late", "x"], "unknown option --late"),
        (["--_private", "x"], "unknown option --_private"),
        (["--hidden", "x"], "unknown option --hidden"),
        (["--skip_train", "yes"], "--skip_train: expected true or false, found 'yes'"),
        (["--stage"], "--stage has no value"),
        (["--stage", "--nj", "4"], "--stage has no value (the next word is --nj)"),
        (["--config", "nowhere"], "--config: cannot read nowhere"),
    ],
)
def test_mistakes(call, words, message):
    done = call(*words)
    assert done.returncode == 1 and done.stdout == ""
    assert message in done.stderr and "--help" in done.stderr


def test_help_lists_every_option_with_the_value_it_has(call):
    done = call("--nj", "4", "--help")
    assert done.returncode == 0
    expected = [
        "General",
        "--stage First stage. (default: 1)",
        "--skip_train Skip the training. (default: false)",
        "--nj Number of jobs (default: 4)",
        "(second line # with a hash).",
        "Data",
        '--db_root Where the corpus is; it\'s "there". (default: )',
        "--name Has a hash in its default. (default: a # b)",
        "--url (default: http://h#frag)",
    ]
    assert [" ".join(line.split()) for line in done.stdout.splitlines() if line][1:] == expected


def test_config_file_goes_after_the_command_line(call, tmp_path):
    (tmp_path / "c.conf").write_text('# comment\n\nstage=5\nskip-train=true\nname="x $HOME y"\nnj=7')
    assert values(call("--stage", "2", "--config", "c.conf"))[:5] == ["2", "true", "7", "", "x $HOME y"]
    (tmp_path / "c.conf").write_text("stage = 5\n")
    assert "c.conf:1: expected name=value" in call("--config=c.conf").stderr
    (tmp_path / "c.conf").write_text("\nstagee=5\n")
    assert "c.conf:2: stagee(did you mean" in call("--config=c.conf").stderr.replace(" (", "(")
