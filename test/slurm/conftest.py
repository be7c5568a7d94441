"""A real SLURM of two nodes on this machine, and the toy recipe in it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TOOLS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")
SCALE = float(os.environ.get("EVC2_LIMIT_SCALE", "1"))
SLURMD_TIMEOUT = 10
"""Seconds after which SLURM takes a silent node for dead."""


class Cluster:
    """What a test does with the cluster beside sending jobs to it."""

    slurmd_timeout = SLURMD_TIMEOUT

    def __init__(self, folder: Path):
        self.folder = folder

    def limit(self, seconds: float) -> float:
        """A limit on two idle cores -> the limit here; cluster.sh does the same."""
        return seconds * SCALE

    def wait_for(self, found: Callable[[], object], what: str, seconds: float = 120) -> None:
        """Wait until found() is true; the limit is that of two idle cores."""
        end = time.monotonic() + self.limit(seconds)
        while not found():
            assert time.monotonic() < end, f"waited {self.limit(seconds):.0f} s for {what}; queue: {self.jobs()}"
            time.sleep(0.1)

    def do(self, *words: str) -> str:
        """A command of SLURM, with its output."""
        return subprocess.run(words, check=True, capture_output=True, text=True, timeout=self.limit(60)).stdout

    def control(self, *words: str) -> None:
        """cluster.sh; its output goes to a file, because the daemons that it starts keep it open."""
        with open(self.folder / "cluster.log", "ab") as log:
            command = [HERE / "cluster.sh", words[0], self.folder, *words[1:]]
            subprocess.run(command, check=True, stdout=log, stderr=log, timeout=self.limit(60))

    def jobs(self) -> list[str]:
        """What is in the queue, a line `number state` each."""
        return self.do("squeue", "-h", "-o", "%A %T").splitlines()

    def ready(self) -> None:
        """Wait until nothing runs and both nodes are idle."""
        idle = ("sinfo", "-h", "-p", "normal", "-t", "idle", "-o", "%D")
        self.wait_for(lambda: self.do(*idle).strip() == "2" and not self.jobs(), "idle nodes")


@pytest.fixture(scope="session")
def _cluster() -> Iterator[Cluster]:
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [tool for tool in TOOLS if shutil.which(tool, path=path) is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)} here; on Debian: apt-get install slurmctld slurmd munge")
    # Not below pytest's folder: names of sockets may have no more than 107 letters.
    folder = Path(tempfile.mkdtemp(prefix="evc2_slurm_"))
    cluster = Cluster(folder)
    before = dict(os.environ)
    os.environ |= {"EVC2_SLURMD_TIMEOUT": str(SLURMD_TIMEOUT), "SLURM_CONF": str(folder / "slurm.conf")}
    try:
        cluster.control("start")
        yield cluster
    finally:
        os.environ.clear()
        os.environ.update(before)
        cluster.control("stop")
        shutil.rmtree(folder)


@pytest.fixture
def cluster(_cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with both nodes idle; what a test leaves in the queue is cancelled."""
    _cluster.ready()
    yield _cluster
    for line in _cluster.jobs():
        _cluster.do("scancel", line.split()[0])


class Recipe:
    """The toy recipe in a folder of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        words = "--train_config conf/debug/train_cyclegan.yaml --directions neutral:angry --train_threads 1 --nj 2"
        self.common = words.split()

    def start(self, *options: str, backend: str = "slurm") -> subprocess.Popen:
        """run.sh with these options; its output goes to said.txt and is there when it has ended."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "cmd_backend": backend}
        with open(self.folder / "said.txt", "wb") as said:
            return subprocess.Popen(
                ["./run.sh", *self.common, *options],
                cwd=self.folder,
                env=environment,
                stdout=said,
                stderr=said,
                process_group=0,
                # Tests that run in the background ignore Ctrl-C, and a shell cannot undo that.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    @property
    def said(self) -> str:
        return (self.folder / "said.txt").read_text()

    def run(self, *options: str, backend: str = "slurm", status: int = 0) -> str:
        """As start, to the end; returns what was said."""
        assert self.start(*options, backend=backend).wait(300 * SCALE) == status, self.said[-3000:]
        return self.said


@pytest.fixture(scope="session")
def recipe(tmp_path_factory, copy_recipe) -> Recipe:
    """The toy recipe with its data, without features."""
    recipe = Recipe(copy_recipe(tmp_path_factory.mktemp("slurm"), "toy") / "evc1")
    recipe.run("--stop_stage", "1", backend="local")
    return recipe


@pytest.fixture(scope="session")
def features(recipe: Recipe) -> Recipe:
    """The recipe with its features, made on this machine."""
    recipe.run("--stage", "2", "--stop_stage", "4", backend="local")
    return recipe
