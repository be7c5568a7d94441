"""The console script."""

import sys

import pytest

from evc2 import __version__
from evc2.bin import evc2


@pytest.fixture(autouse=True)
def _keep_argv(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["evc2"])


def test_help_lists_each_command_with_its_first_line(capsys):
    evc2.main(["--help"])
    listed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.partition("commands:\n")[2].splitlines())
    assert listed["data_dir"] == "Check, mend, cut or join Kaldi data directories."
    assert "evc2" not in listed and "__init__" not in listed


def test_version(capsys):
    evc2.main(["--version"])
    assert capsys.readouterr().out == f"evc2 {__version__}\n"


def test_unknown_command_names_the_nearest(capsys):
    with pytest.raises(SystemExit) as left:
        evc2.main(["data_dri"])
    assert left.value.code == 1
    assert "unknown command 'data_dri' (did you mean data_dir?)" in capsys.readouterr().err


def test_runs_the_command_under_its_name(capsys):
    with pytest.raises(SystemExit) as left:
        evc2.main(["data-dir", "validate", "nowhere"])
    assert left.value.code == 1
    assert capsys.readouterr().err.startswith("evc2 data_dir: error: nowhere: expected a data directory")
