"""Files appear complete or not at all."""

import json
import os
import resource
import signal
import subprocess
import sys

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.fileio.ark import ArkWriter
from evc2.fileio.atomic import atomic_path, write_json, write_text
from evc2.fileio.audio import write_audio


def test_success_makes_folders_and_keeps_the_suffix(tmp_path):
    path = tmp_path / "a" / "b" / "x.wav"
    with atomic_path(path) as temporary:
        assert temporary.suffix == ".wav" and temporary.parent == path.parent
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new" and os.listdir(path.parent) == ["x.wav"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(error), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["x.txt"]


def test_a_body_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "x"):
        pass
    assert os.listdir(tmp_path) == []


def test_folders_and_devices_are_not_replaced(tmp_path):
    for path in (tmp_path, "/dev/null"):
        with pytest.raises(UserError, match="expected a file to write"), atomic_path(path):
            pass


def test_write_json(tmp_path):
    write_json(tmp_path / "x.json", {"é": [1, None]})
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == {"é": [1, None]}
    with pytest.raises(ValueError):
        write_json(tmp_path / "y.json", float("nan"))
    assert not (tmp_path / "y.json").exists()


def _write_text(folder):
    write_text(os.path.join(folder, "out.txt"), "x" * 400_000)


def _write_wav(folder):
    write_audio(os.path.join(folder, "out.wav"), np.zeros(200_000), 16000)


def _write_ark(folder):
    with ArkWriter(os.path.join(folder, "out.ark"), os.path.join(folder, "out.scp")) as writer:
        for i in range(50):
            writer[f"utt{i}"] = np.ones((100, 24))


WRITERS = {"text": _write_text, "wav": _write_wav, "ark": _write_ark}


@pytest.fixture
def small_disk(tmp_path):
    """A 128 KiB file system, or None where this user cannot mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)]
    try:
        mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    yield folder if mounted else None
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("kind", WRITERS)
def test_full_disk(small_disk, kind):
    if small_disk is None:
        pytest.skip("cannot mount a tmpfs here; test_file_size_limit covers the failing write")
    with pytest.raises(OSError, match="No space left") as caught:
        WRITERS[kind](str(small_disk))
    assert caught.value.errno == 28 and os.listdir(small_disk) == []


def _limit_file_size():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that write() fails, as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


@pytest.mark.parametrize("kind", WRITERS)
def test_file_size_limit(tmp_path, kind):
    code = f"import runpy; from evc2.cli import run; t = runpy.run_path({__file__!r}); "
    code += f"run(lambda: t['WRITERS'][{kind!r}]({str(tmp_path)!r}), name='prog')"
    done = subprocess.run(
        [sys.executable, "-c", code], preexec_fn=_limit_file_size, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.startswith("prog: error: File too large") and "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == []


def test_sigterm_removes_the_unfinished_file(tmp_path):
    code = "import sys, time; from evc2.cli import run; from evc2.fileio.atomic import atomic_path\n"
    code += "def main():\n  with atomic_path(sys.argv[1]) as t:\n    t.write_text('half'); print('go', flush=True)\n"
    code += "    time.sleep(30)\nrun(main)"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "x")], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"go\n"
        assert len(os.listdir(tmp_path)) == 1
        process.terminate()
        assert process.wait(timeout=20) == 128 + signal.SIGTERM
    assert os.listdir(tmp_path) == []
