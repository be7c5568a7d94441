"""utils/subset_trials.sh: the trials of some directions, of all speakers or one."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "utils" / "subset_trials.sh"
EMOTIONS = "a-ang angry\na-neu neutral\nb-ang angry\nb-neu neutral\nb-sad sad\n"
TRIALS = """a-ang-to-neutral a-ang a neutral a-neu
a-neu-to-angry a-neu a angry a-ang
b-ang-to-neutral b-ang b neutral b-neu
b-neu-to-angry b-neu b angry
b-sad-to-angry b-sad b angry b-ang
"""


@pytest.fixture
def pick(tmp_path):
    """pick(DIRECTIONS, *MORE) -> the finished process, with a data directory of two speakers."""
    (tmp_path / "utt2emo").write_text(EMOTIONS)
    (tmp_path / "trials").write_text(TRIALS)

    def pick(*words):
        return subprocess.run([SCRIPT, tmp_path, *words], capture_output=True, text=True)

    return pick


@pytest.mark.parametrize(
    "directions, name, lines",
    [
        ("neutral:angry", "trials_neutral_angry", (1, 3)),
        ("angry:neutral,neutral:angry", "trials_angry_neutral_neutral_angry", (0, 1, 2, 3)),
        ("sad:angry, neutral:angry", "trials_sad_angry_neutral_angry", (1, 3, 4)),
        ("b:neutral:angry,a:angry:neutral", "trials_b_neutral_angry_a_angry_neutral", (0, 3)),
        ("b:angry:neutral,angry:neutral", "trials_b_angry_neutral_angry_neutral", (0, 2)),
    ],
)
def test_the_trials_of_directions(pick, tmp_path, directions, name, lines):
    done = pick(directions)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / name)
    all_lines = TRIALS.splitlines()
    assert (tmp_path / name).read_text().splitlines() == [all_lines[i] for i in lines]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["trials", "utt2emo", name])


def test_the_trials_of_speakers(pick, tmp_path):
    lines = ["4-x-to-49 4-x 49 neutral", "4-x-to-7 4-x 7 neutral 7-x", "7-x-to-4 7-x 4 neutral 4-x"]
    (tmp_path / "trials").write_text("\n".join(lines) + "\n")
    (tmp_path / "utt2emo").write_text("4-x neutral\n7-x neutral\n")
    (tmp_path / "utt2spk").write_text("4-x 4\n7-x 7\n")
    assert pick("4:7,7:4").returncode == 0
    assert (tmp_path / "trials_4_7_7_4").read_text().splitlines() == lines[1:]
    done = pick("4:17")
    assert done.returncode == 1 and "has no trial of 4:17; it has" in done.stderr and "4:49" in done.stderr
    # With utt2spk there, trials that keep the speaker are still told apart by emotion.
    (tmp_path / "trials").write_text("4-x-to-sad 4-x 4 sad\n")
    assert pick("4:neutral:sad", tmp_path / "mine").returncode == 0
    assert (tmp_path / "mine").read_text() == "4-x-to-sad 4-x 4 sad\n"


def test_a_name_of_ones_own(pick, tmp_path):
    assert pick("sad:angry", tmp_path / "mine").stdout.strip() == str(tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "b-sad-to-angry b-sad b angry b-ang\n"


def test_a_direction_without_trials_is_an_error_that_names_those_there(pick, tmp_path):
    done = pick("neutral:angry,neutral:sad,a:sad:angry")
    assert done.returncode == 1 and done.stdout == ""
    assert "has no trial of neutral:sad a:sad:angry; it has" in done.stderr
    for direction in ("neutral:angry", "angry:neutral", "sad:angry"):
        assert direction in done.stderr.split("it has")[1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["trials", "utt2emo"]


def test_wrong_calls(pick, tmp_path):
    assert pick().returncode == 2
    (tmp_path / "trials").unlink()
    done = pick("sad:angry")
    assert done.returncode == 1 and "cannot read" in done.stderr
