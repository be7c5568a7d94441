"""Files appear complete or not at all."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.fileio.ark import ArkWriter
from evc2.fileio.atomic import atomic_path, remove_leftovers, write_json, write_text
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
    assert os.path.dirname(caught.value.filename) == str(small_disk) and "/out." in caught.value.filename


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
    assert done.stderr.startswith(f"prog: error: File too large: {tmp_path}/out.") and "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == []


def test_an_error_that_hides_a_full_disk_gives_way_to_it(tmp_path):
    def torch_like(error):
        try:
            raise error
        finally:
            raise RuntimeError("unexpected pos")  # as torch.save does when it closes an archive that it could not write

    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space left") as caught, atomic_path(tmp_path / "x"):
        torch_like(full)
    assert caught.value.filename == str(tmp_path / "x")
    for other in (ValueError("wrong"), OSError(errno.ENOENT, "No such file")):
        with pytest.raises(RuntimeError, match="unexpected pos"), atomic_path(tmp_path / "x"):
            torch_like(other)
    with pytest.raises(OSError) as caught, atomic_path(tmp_path / "x"):
        raise OSError(errno.ENOSPC, "No space left on device", "another")
    assert caught.value.filename == "another"


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


def test_leftovers_of_killed_processes_go_and_nothing_else(tmp_path):
    code = "import os, sys; from evc2.fileio.atomic import atomic_path\n"
    code += "with atomic_path(sys.argv[1]) as t:\n  t.write_text('half'); os.kill(os.getpid(), 9)"
    deep = tmp_path / "a" / "b"
    for path in (tmp_path / "x.1.ark", deep / "no_suffix"):
        assert subprocess.run([sys.executable, "-c", code, str(path)]).returncode == -9
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    elsewhere = left[0].name.split("-")
    elsewhere = [left[0].with_name("-".join([elsewhere[0], "0" * 8, n])) for n in ("11111111.ark", "22222222.ark")]
    others = [tmp_path / name for name in (".stage2", ".lock", "x.1-2.ark", ".hidden.12-ab.txt")]
    for path in (*elsewhere, *others):
        path.write_text("")
    os.utime(elsewhere[1], (1, 1))  # another machine's, of long ago
    with atomic_path(deep / "y") as living:
        living.write_text("whole")
        assert len(left) == 2 and remove_leftovers(tmp_path) == 3
        assert living.exists()
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file()) == sorted([deep / "y", elsewhere[0], *others])
    assert remove_leftovers(tmp_path / "nothing") == 0


def test_a_dead_process_that_nobody_has_waited_for_owns_nothing(tmp_path):
    body = " t.touch()\n os.kill(os.getpid(), 9)"
    code = f"from evc2.fileio.atomic import *\nimport os\nwith atomic_path({str(tmp_path / 'x')!r}) as t:\n{body}"
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        stat, end = Path(f"/proc/{process.pid}/stat"), time.monotonic() + 60
        while stat.read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < end
            time.sleep(0.01)
        assert len(os.listdir(tmp_path)) == 1 and remove_leftovers(tmp_path) == 1 and os.listdir(tmp_path) == []
