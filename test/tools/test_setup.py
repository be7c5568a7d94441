"""tools/setup.sh without the long part: which interpreter it takes, what it refuses, and how it sees a broken venv."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tree(tmp_path):
    """A copy of what setup.sh reads, in a folder of its own; its evc2 is empty and needs nothing."""
    root = tmp_path / "tree"
    for name in ("tools/setup.sh", "tools/constraints.txt", "tools/weights.txt", "utils/parse_options.sh", "setup.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    return root


def setup(tree, *words, **environment):
    command = ["bash", tree / "tools" / "setup.sh", *words]
    environment = {**os.environ, **environment}
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=120)


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("echo 'version 3.12 is not set' >&2; exit 127", "does not run"),
        ("echo 3.11", "is Python 3.11"),
        ("case $2 in *ensurepip*) exit 1;; esac; echo 3.12", "without venv"),
    ],
)
def test_an_interpreter_that_cannot_serve(tree, tmp_path, text, said):
    done = setup(tree, "--python", str(program(tmp_path / "python3.12", text)))
    assert done.returncode == 1 and said in done.stderr, done.stderr
    assert not (tree / "tools" / "venv").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--torch", "gpu"], "expected pypi, cpu or keep"),
        (["--extras", "dev,devil"], "found 'devil'"),
        (["--constraints", "none.txt"], "cannot read"),
        (["--extra", "dev"], "did you mean --extras?"),
        (["--python", "/no/such/python"], "does not exist"),
    ],
)
def test_wrong_options(tree, words, said):
    done = setup(tree, *words)
    assert done.returncode == 1 and said in done.stderr, done.stderr


def _fake_pip(venv: Path) -> None:
    """Replace the venv's pip by a module that installs nothing and says what it was asked for."""
    package = next(venv.glob("lib/python3*/site-packages")) / "pip"
    shutil.rmtree(package, ignore_errors=True)
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text("import sys\nprint('asked:', sys.prefix, *sys.argv[1:])\n")


def _stamp(tree: Path) -> None:
    lines = ["hash=0", f"root={tree}", f"python={sys.executable}", "torch=pypi", "extras=dev"]
    (tree / "tools" / "venv" / "evc2_setup").write_text("\n".join(lines) + "\n")


@pytest.fixture
def with_venv(tree):
    venv = tree / "tools" / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    _fake_pip(venv)
    _stamp(tree)
    return tree


def test_changed_requirements_go_into_the_venv_with_its_extras(with_venv):
    done = setup(with_venv)
    assert "making it anew" not in done.stdout
    asked = [line for line in done.stdout.splitlines() if line.startswith("asked:")]
    assert asked and all(line.split()[1] == str(with_venv / "tools" / "venv") for line in asked), done.stdout
    assert any(line.endswith(f"{with_venv}[dev] --constraint tools/constraints.txt") for line in asked)
    assert all("--require-virtualenv" in line for line in asked)


@pytest.mark.parametrize("damage", ["unfinished", "no pyvenv.cfg", "moved"])
def test_a_damaged_venv_is_made_anew(with_venv, tmp_path, damage):
    venv = with_venv / "tools" / "venv"
    if damage == "unfinished":
        (venv / "evc2_unfinished").touch()
    elif damage == "no pyvenv.cfg":
        # Its interpreter then runs as the one that it was made from; pip must not install into that.
        (venv / "pyvenv.cfg").unlink()
    else:
        with_venv = with_venv.rename(tmp_path / "elsewhere")
        venv = with_venv / "tools" / "venv"
    # The new one cannot be made: this interpreter is good enough to be chosen, and then `-m venv` fails.
    text = "case $1 in -m) exit 9;; esac; case $2 in *version_info*) echo 3.12;; esac"
    done = setup(with_venv, "--python", str(program(tmp_path / "python3.12", text)))
    assert "making it anew" in done.stdout and "-m venv failed" in done.stderr
    assert "asked:" not in done.stdout
    assert not venv.exists() and list((with_venv / "tools").glob(".venv_old*")) == []
