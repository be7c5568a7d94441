"""A recipe that is killed again and again, at random moments, ends with what an undisturbed run ends with.

A kill is SIGKILL to every process of the run at once, as in a power cut or by a cluster's last means. After each, every
file under its final name must be whole; the next run is the same command. Seeded, but what a kill hits depends on the
machine's speed too: pytest -s (or a failure) shows it.
"""

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import faults
import pytest

COMMON = [
    *("--train_config", "conf/debug/train_cyclegan.yaml", "--directions", "neutral:angry", "--evc_tag", "killed"),
    *("--train_threads", "1", "--nj", "2", "--inference_nj", "2", "--ngpu", "0", "--anchors", "zero_effort f0"),
    *("--eval_args", "--metrics mcd,distance_to_source --report false"),
]


class Killer:
    """Runs a recipe once undisturbed, and in another copy of it with kills.

    Args:
        copy: makes a copy of the recipe, by name.
        words: options of run.sh.
        seed: of the moments.
    """

    def __init__(self, copy: Callable[[str], Path], words: list[str], seed: int, monkeypatch) -> None:
        self.copy, self.words, self.random, self.monkeypatch = copy, words, random.Random(seed), monkeypatch
        self.hits: list[str] = []
        self.lasts: dict[int, float] = {}  # stage -> seconds in the undisturbed run; of stage 5: of its batches
        self.folder = copy("killed")

    def undisturbed(self) -> dict:
        """Contents of a run that nothing happens to; notes how long its stages last."""
        folder = self.copy("undisturbed")
        run = faults.Recipe(folder, self.words)
        run.wait_until(lambda: run.stage() >= 5 and self.trains(folder))
        trains = time.monotonic() - run.started
        run.finish()
        ends = [*sorted(run.begun.items())[1:], (99, time.monotonic() - run.started)]
        for (stage, start), (_, end) in zip(sorted(run.begun.items()), ends, strict=True):
            self.lasts[stage] = end - (trains if stage == 5 else start)
        return self.look(folder)

    @staticmethod
    def trains(folder: Path) -> bool:
        """Whether the training that runs now has come to its first batch."""
        return any(
            "epoch 1 of" in p.read_text() or "continuing at" in p.read_text() for p in folder.glob("exp/*/*/train.log")
        )

    def look(self, folder: Path) -> dict:
        """Contents of a folder in which every file must be whole."""
        self.monkeypatch.chdir(folder)  # tables name files from there
        assert faults.check_whole(folder) > 0
        return faults.contents(folder)

    def kill_in(self, stage: int, share: float = 1.0) -> None:
        """Do stage `stage` once more, and kill it at a random moment of the first `share` of its time."""
        for mark in self.folder.glob(f"**/.stage{stage}"):
            mark.unlink()  # or a stage that was through before the last kill would not be hit again
        run = faults.Recipe(self.folder, self.words)
        run.wait_until(lambda: run.stage() >= stage)
        if stage == 5:  # starting takes longer than the batches
            run.wait_until(lambda: run.stage() > 5 or self.trains(self.folder))
        moment = self.random.uniform(0.0, share * self.lasts[stage])
        end = time.monotonic() + moment
        # On a machine that has become faster since, the last moment is the stage's end.
        run.wait_until(lambda: time.monotonic() >= end or run.stage() > stage)
        assert run.process.poll() in (None, 0), run.text()[-4000:]  # it must not fail of what the last kill left
        hit = run.stage()
        names = run.kill()
        work = ", ".join(f"{n} x {name}" for name, n in sorted(Counter(names).items()) if name.startswith("evc2"))
        self.hits.append(f"aimed at stage {stage} + {moment:.2f} s: hit stage {hit}: {work or names or 'nothing'}")
        print(self.hits[-1])
        self.monkeypatch.chdir(self.folder)
        faults.check_whole(self.folder)


def run_with_kills(killer: Killer, kills: list[tuple[int, float]]) -> None:
    expected = killer.undisturbed()
    print(", ".join(f"stage {stage}: {seconds:.1f} s" for stage, seconds in killer.lasts.items()))
    for stage, share in kills:
        killer.kill_in(stage, share)
    faults.Recipe(killer.folder, killer.words).finish()
    faults.assert_same(killer.look(killer.folder), expected)


@pytest.fixture
def copy(tmp_path, copy_recipe):
    return lambda name: copy_recipe(tmp_path / name, "toy") / "evc1"


@pytest.mark.recipe
def test_three_kills(copy, monkeypatch):
    words = [*COMMON, "--speakers", "m1", "--stop_stage", "5"]
    words += ["--train_args", "--max_epoch 2 --num_iters_per_epoch 8 --num_valid_trials 1 --checkpoint_interval 0.003"]
    run_with_kills(Killer(copy, words, 3, monkeypatch), [(3, 1.0), (3, 1.0), (5, 0.6)])


@pytest.mark.recipe
@pytest.mark.long
def test_twenty_four_kills(copy, monkeypatch):
    words = [*COMMON, "--speakers", "m1 f1", "--stop_stage", "7", "--train_args", "--checkpoint_interval 0.01"]
    # Training goes on from its checkpoint, so each of its kills gets a part of its time.
    kills = [(2, 1.0)] * 4 + [(3, 1.0)] * 4 + [(4, 1.0)] * 4 + [(5, 0.3)] * 4 + [(6, 1.0)] * 4 + [(7, 1.0)] * 4
    run_with_kills(Killer(copy, words, 20, monkeypatch), kills)
