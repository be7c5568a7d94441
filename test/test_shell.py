"""The shell side: every script parses, shellcheck has nothing to say, and the pipeline explains itself."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEMPLATE = ROOT / "egs" / "TEMPLATE" / "evc1"
MADE = {"venv", "data", "dump", "exp", "downloads"}


def scripts() -> list[Path]:
    found = [ROOT / ".ci" / "run"]
    for top in ("egs", "tools", "utils", "test"):
        for folder, folders, names in os.walk(ROOT / top):
            folders[:] = sorted(set(folders) - MADE)
            paths = [Path(folder, name) for name in sorted(names) if name.endswith(".sh")]
            found += [path for path in paths if not path.is_symlink()]
    return found


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_scripts_are_found():
    assert {"egs/TEMPLATE/evc1/evc.sh", "tools/setup.sh", "utils/parse_options.sh"} <= set(map(name_of, scripts()))


@pytest.mark.parametrize("path", scripts(), ids=name_of)
def test_bash_reads_it(path):
    done = subprocess.run(["bash", "-n", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_shellcheck():
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed (tools/setup.sh --extras dev)")
    done = subprocess.run(["shellcheck", "-x", *map(name_of, scripts())], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def run(folder: Path, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run(["./evc.sh", *words], cwd=folder, capture_output=True, text=True, timeout=60)


def test_help_lists_every_option_with_its_default():
    done = run(ROOT / "egs" / "toy" / "evc1", "--help")
    assert done.returncode == 0, done.stderr
    block = (TEMPLATE / "evc.sh").read_text().split("help_message=")[0]
    names = [line.split("=")[0] for line in block.splitlines() if "=" in line and line[0].islower()]
    assert len(names) > 30
    for name in names:
        entry = next((line for line in done.stdout.splitlines() if line.startswith(f"  --{name} ")), "")
        assert "(default: " in entry and len(entry.split("(default")[0].split()) > 1, f"--{name} is not explained"


def test_the_template_is_short():
    assert len((TEMPLATE / "evc.sh").read_text().splitlines()) <= 300


def test_wrong_calls_get_one_clear_message(tmp_path):
    for name in ("evc.sh", "path.sh", "cmd.sh"):
        (tmp_path / name).symlink_to(TEMPLATE / name)
    (tmp_path / "utils").symlink_to(ROOT / "utils")
    toy = ROOT / "egs" / "toy" / "evc1"
    cases = [
        (tmp_path, [], "expected local/data.sh"),
        (toy, ["--stge", "4"], "did you mean --stage?"),
        (toy, ["--stage", "x"], "--stage: expected a number"),
        (toy, ["--force", "1"], "expected true or false"),
        (toy, ["--feats_conf", "conf/none.yaml"], "cannot read conf/none.yaml; found conf/feats_world.yaml"),
        (toy, ["--num_nodes", "2"], "needs cmd_backend=slurm"),
        (toy, ["--stage", "4", "--stop_stage", "4", "--dumpdir", str(tmp_path)], "which stage 3 makes"),
    ]
    for folder, words, message in cases:
        done = run(folder, *words)
        assert done.returncode == 1, words
        assert message in done.stderr and "Traceback" not in done.stderr, (words, done.stderr)
