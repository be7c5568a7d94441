"""The measurement of growth and what it measures with."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def table(monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    import table

    return table


@pytest.fixture
def watch(monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    import usage

    return usage.watch


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_usage_of_a_command_and_its_children(tmp_path, watch):
    hold = "import time; x = bytearray(150 << 20); f = [open('/dev/null') for _ in range(60)]; time.sleep(0.5)"
    write = (
        f"import os; f = open({str(tmp_path / 'x')!r}, 'wb'); f.write(bytes(5 << 20)); f.flush(); os.fsync(f.fileno())"
    )
    used = watch(
        python(f"import subprocess, sys; [subprocess.run([sys.executable, '-c', c]) for c in {[hold, write]!r}]")
    )
    assert 150 <= used.peak_mb < 200 and 63 <= used.open_files < 80 and used.processes >= 2
    assert 5 <= used.written_mb < 6 and used.seconds > 0.5 > used.cpu_seconds - used.seconds


def test_a_command_that_fails(watch):
    with pytest.raises(subprocess.CalledProcessError):
        watch(python("raise SystemExit(3)"))


def test_two_sizes(tmp_path, table, capsys):
    command = [sys.executable, HERE / "corpus_growth.py", "--counts", "20", "40", "--speakers", "2", "--no_training"]
    done = subprocess.run([*command, "--work", tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert table.read_lines(done.stdout.splitlines(keepends=True), "stdout") == lines
    assert len(table.render(lines).splitlines()) == len(lines) + 2 and capsys.readouterr().err == ""
    used = {(line["step"], line["utterances"]): line for line in lines if "utterances" in line}
    figures = {line["case"]: line for line in lines}
    assert {count for _, count in used} == {8, 20, 40} and len(used) == 33
    assert all(line["peak_mb"] > 5 and line["open_files"] >= 2 for line in used.values())
    assert all(line["ours"] > 0 and line["plain"] is None and line["unit"] == "s" for line in used.values())
    assert used["stage 2, jobs", 40]["written_mb"] > 1.8 * used["stage 2, jobs", 20]["written_mb"] > 1
    assert 0.8 < figures["stage 4, 40 over 20 utterances: memory"]["ratio"] < 1.2
    # 16-bit audio at 16 kHz, and 26 float32 values each 5 ms
    assert figures["audio, an hour of audio"]["ours"] > 0 and list(tmp_path.iterdir()) == []
    sizes = {line["unit"]: line["ours"] for line in lines if line["case"] == "arks, an hour of audio"}
    assert sizes["MiB"] == pytest.approx(3600 * 200 * 26 * 4 / 2**20, rel=0.02)
