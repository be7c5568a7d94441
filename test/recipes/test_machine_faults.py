"""A recipe on a full disk, on one that became read-only, and whose inputs vanish: one clear sentence, and nothing lost.

One small run is made for all; each test spoils something, looks at what the recipe says, mends it, and finds the same
files again after a rerun of the stage. Disks are small file systems in memory, which only root can mount.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faults
import pytest

pytestmark = pytest.mark.recipe
LONG = pytest.mark.long
WORDS = [
    *("--train_config", "conf/debug/train_cyclegan.yaml", "--directions", "neutral:angry", "--evc_tag", "small"),
    *("--train_threads", "1", "--nj", "2", "--inference_nj", "2", "--ngpu", "0", "--anchors", "zero_effort"),
    *("--speakers", "m1", "--split", "small"),
    *("--train_args", "--max_epoch 2 --num_iters_per_epoch 3 --num_valid_trials 1 --checkpoint_interval 0.001"),
]


def _mount(folder: Path) -> bool:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", str(folder)]
    try:
        return os.geteuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


class Small:
    """A finished run of stages 1 to 6 whose dump/ and exp/ are small disks, where that can be.

    Args:
        folder: of the recipe.

    Attributes:
        folder: the same.
        disks: whether they are.
        expected: its contents.
        clean: whether it has them now.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mounted = [self.folder / name for name in ("dump", "exp") if _mount(self.folder / name)]
        self.disks = len(self.mounted) == 2
        faults.Recipe(self.folder, [*WORDS, "--stop_stage", "6"]).finish()
        self.expected, self.clean = faults.contents(self.folder), True

    def run(self, stage: int, *more: str) -> Any:
        """A run of one stage."""
        return faults.Recipe(self.folder, [*WORDS, "--stage", str(stage), "--stop_stage", str(stage), *more])

    def redo(self, stage: int) -> None:
        """Forget that a stage was done; of training also all that it left, or it would have nothing to do."""
        for mark in self.folder.glob(f"**/.stage{stage}"):
            mark.unlink()
        if stage == 5:
            shutil.rmtree(self.folder / "exp" / "small" / "debug_train_cyclegan")

    def same_after(self, *stages: int) -> None:
        """Do stages as if nothing had been, and find what there was at first. Stage 2 removes what stage 3 made."""
        for stage in (2, 3) if stages == (2,) else stages:
            self.run(stage).finish()
        assert faults.check_whole(self.folder) > 0
        faults.assert_same(faults.contents(self.folder), self.expected)
        self.clean = True

    def arks(self) -> list[Path]:
        """Both arks of the training set's features."""
        return sorted(self.folder.glob("dump/*/small_train/arks/feats.*.ark"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory, copy_recipe):
    root = tmp_path_factory.mktemp("faults")
    made = None
    try:
        made = Small(copy_recipe(root, "toy") / "evc1")
        yield made
    finally:
        for folder in made.mounted if made else [root / "egs/toy/evc1/dump", root / "egs/toy/evc1/exp"]:
            subprocess.run(["umount", str(folder)], check=made is not None, capture_output=True)


@pytest.fixture
def small(finished, monkeypatch):
    monkeypatch.chdir(finished.folder)  # tables name files from there
    if not finished.clean:  # a test before this one failed
        faults.Recipe(finished.folder, [*WORDS, "--stop_stage", "6"]).finish()
    finished.clean = False
    return finished


@pytest.fixture
def disks(small):
    if not small.disks:
        pytest.skip("cannot mount a tmpfs here; test/fileio/test_atomic.py covers the failing write")
    return small


def clear(said: str, expected: str) -> str:
    """What a run said, which must hold the sentence, and no traceback."""
    assert expected in said and "Traceback" not in said, said[-4000:]
    return said


@pytest.mark.parametrize(
    ("stage", "disk", "left", "expected"),
    [
        (2, "dump", 8, "format_wav: error: No space left on device: dump/"),
        (3, "dump", 60, "extract_feats: error: No space left on device: dump/"),
        (5, "exp", 1500, "evc_train: error: No space left on device: exp/small/debug_train_cyclegan/checkpoint.pth"),
        pytest.param(6, "exp", 12, "convert: error: No space left on device: exp/small/decode_test/wav/", marks=LONG),
        pytest.param(6, "exp", 0, ".log: cannot be written to its end: No space left on device", marks=LONG),
    ],
)
def test_full_disk(disks, stage, disk, left, expected):
    disks.redo(stage)
    for log in disks.folder.glob("exp/small/decode_test/log/*.log"):
        log.unlink()  # or new ones would find room where the old ones were
    ballast = disks.folder / disk / "ballast.log"
    room = os.statvfs(ballast.parent)
    ballast.write_bytes(bytes(room.f_bavail * room.f_bsize - left * 1024))
    try:
        said = clear(disks.run(stage).fail(), expected)
        assert f"stage {stage} failed" in said
        faults.check_whole(disks.folder)
    finally:
        ballast.unlink()
    disks.same_after(stage)


@pytest.mark.parametrize(
    ("stage", "disk", "how"),
    [
        pytest.param(2, "dump", "redo", marks=LONG),
        (3, "dump", "force"),
        pytest.param(5, "exp", "redo", marks=LONG),
    ],
)
def test_read_only_disk(disks, stage, disk, how):
    if how == "redo":
        disks.redo(stage)
    more = ["--force", "true"] if how == "force" else []
    remount = ["mount", "-o", "remount,ro", str(disks.folder / disk)]
    subprocess.run(remount, check=True)
    try:
        said = clear(disks.run(stage, *more).fail(), f"error: stage {stage}: there is work to do in {disk}/")
    finally:
        subprocess.run([word.replace("remount,ro", "remount,rw") for word in remount], check=True)
    assert "cannot be written: expected a folder of this user on a disk that is not read-only" in said
    disks.same_after(stage)


def _vanish(path: Path, small: Small, stage: int, *expected: str) -> None:
    kept = path.with_name("kept.log")
    os.replace(path, kept)
    try:
        said = small.run(stage).fail()
        for part in expected:
            clear(said, part)
    finally:
        os.replace(kept, path)


def test_a_recording_is_gone_after_stage_1(small):
    path = sorted(small.folder.glob("downloads/toy/m1/angry/*.wav"))[0]
    kept = path.read_bytes()
    small.redo(2)
    path.unlink()
    said = clear(small.run(2, "--max_bad", "0").fail(), "m1/angry/01.wav: expected an audio file, found nothing")
    assert "1 of 36 utterances cannot be used, over --max_bad 0" in said
    assert "skipped 1 of 36 utterances" in small.run(2).finish()  # few enough by default
    path.write_bytes(kept)
    small.same_after(2, 3, 4)


def test_formatted_audio_is_gone_before_stage_3(small):
    path = sorted(small.folder.glob("dump/*/small_train/wav/*.wav"))[0]
    _vanish(path, small, 3, f"names {path.relative_to(small.folder)}, missing now", "run with --stage 2 first")
    small.same_after()


@pytest.mark.parametrize("stage", [4, pytest.param(5, marks=LONG)])
def test_an_ark_is_gone_and_the_stage_that_is_named_makes_it_again(small, stage):
    path = small.arks()[0]
    _vanish(path, small, stage, f"names {path.relative_to(small.folder)}, missing now", "run with --stage 3 first")
    path.unlink()
    assert "done again, for files named in" in small.run(3).finish()
    small.same_after()


def test_statistics_or_a_model_are_gone(small):
    stats = next(small.folder.glob("dump/*/small_stats/stats.npz"))
    _vanish(stats, small, 5, f"expected {stats.relative_to(small.folder)}, which stage 4 makes; run with --stage 4")
    link = small.folder / "exp/small/debug_train_cyclegan/valid.mcd_gv.best.pth"
    model = link.parent / os.readlink(link)
    _vanish(model, small, 6, f"expected {link.relative_to(small.folder)}, which stage 5 makes; run with --stage 5")
    small.same_after()


def _in_training(small: Small, happens: Callable[[Path], None]) -> Any:
    """A long training, to which something happens after it has begun; its ark is whole again afterwards."""
    path = small.arks()[0]
    kept = path.read_bytes()
    try:
        run = small.run(5, "--evc_tag", "long", "--train_args", "--max_epoch 1 --num_iters_per_epoch 100000")
        log = small.folder / "exp/long/debug_train_cyclegan/train.log"
        assert run.wait_until(lambda: log.exists() and "1epoch:train:1-10batch" in log.read_text())
        happens(path)
        return run.fail()
    finally:
        run.kill()
        path.write_bytes(kept)
        shutil.rmtree(small.folder / "exp/long", ignore_errors=True)


def test_an_ark_shrinks_under_training(small):
    said = _in_training(small, lambda path: os.truncate(path, 1000))
    clear(said, f"evc_train: error: {small.arks()[0].relative_to(small.folder)}")
    assert "truncated: it has become shorter since it was opened" in said
    small.same_after()
