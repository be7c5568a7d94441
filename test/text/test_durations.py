"""Phones and durations of TextGrids."""

from pathlib import Path

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.text.durations import TextGrids, alignment, frame_durations, read_alignment
from evc2.text.textgrid import Interval

OLD = ["SIL", "K", "sp", "<eps>", "IH1", "spn", "D", "sil", "spn", ""]
NEW = ["", "K", "", "", "IH1", "spn", "D", "", "spn", ""]


def tier(labels, step=0.1):
    return [Interval(round(n * step, 6), round((n + 1) * step, 6), label) for n, label in enumerate(labels)]


def textgrid(path, labels, name="phones", step=0.1):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f'{i.start}\n{i.stop}\n"{i.label}"' for i in tier(labels, step)]
    stop = len(labels) * step
    head = f'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0 {stop} <exists> 1\n'
    path.write_text("\n".join([f'{head}"IntervalTier" "{name}" 0 {stop} {len(rows)}', *rows, ""]))


@pytest.mark.parametrize("labels", [OLD, NEW])
def test_silences_of_old_and_new_aligners(labels):
    found = alignment(tier(labels))
    assert found.phones == ["K", "sp", "IH1", "spn", "D"]
    assert found.times == pytest.approx([0.1, 0.2, 0.4, 0.5, 0.6, 0.7])


def test_gaps_are_pauses():
    parts = [Interval(0.0, 0.1, "a"), Interval(0.3, 0.4, "b"), Interval(0.4, 0.5, ""), Interval(0.7, 0.8, "c")]
    found = alignment(parts)
    assert found.phones == ["a", "sp", "b", "sp", "c"] and found.times == [0.0, 0.1, 0.3, 0.4, 0.7, 0.8]


def test_unusable_tiers(tmp_path):
    with pytest.raises(UserError, match="only silence"):
        alignment(tier(["", "sil", "spn"]))
    textgrid(tmp_path / "a.TextGrid", ["two words"], "words")
    with pytest.raises(UserError, match="expected a tier 'phones', found: words"):
        read_alignment(tmp_path / "a.TextGrid")
    with pytest.raises(UserError, match="a.TextGrid: tier 'words': 'two words' is no phone"):
        read_alignment(tmp_path / "a.TextGrid", "words")


def test_frames_by_hand():
    times, fps = [1.0, 1.1, 1.104, 1.3], 100.0
    assert frame_durations(times, 1.0, fps, 30).tolist() == [10, 0, 20]
    assert frame_durations(times, 1.0, fps, 32).tolist() == [10, 0, 22], "what is missing goes to the last"
    assert frame_durations(times, 1.0, fps, 27).tolist() == [10, 0, 17]
    # taken from the last as long as it keeps a frame, then from those before
    assert frame_durations([0, 0.03, 0.05, 0.07], 0.0, fps, 4).tolist() == [2, 1, 1]
    assert frame_durations([0, 0.01, 0.02, 0.03], 0.0, fps, 1).tolist() == [1, 0, 0]
    assert frame_durations([0, 0.01], 0.0, fps, 1).dtype == np.int64
    for start, frames in ((1.0, 34), (1.0, 26), (0.9, 30), (1.05, 25)):
        with pytest.raises(UserError, match="was the audio cut by it"):
            frame_durations(times, start, fps, frames)


def test_sums_and_rounding():
    rng = np.random.default_rng(0)
    for _ in range(200):
        times = 0.3 + np.concatenate([[0], np.cumsum(rng.uniform(0, 0.15, rng.integers(1, 30)))])
        fps = 22050 / 256
        frames = max(0, int((times[-1] - times[0]) * fps) + int(rng.integers(-2, 3)))
        found = frame_durations(times, times[0], fps, frames)
        assert found.sum() == frames and found.min() >= 0 and len(found) == len(times) - 1
        near = np.abs(np.cumsum(found)[:-1] - (times[1:-1] - times[0]) * fps)
        assert near.size == 0 or near.max() <= 3.5


def grids(tmp_path, *names):
    for name in names:
        textgrid(tmp_path / f"{name}.TextGrid", ["a"])
    return TextGrids(tmp_path)


def test_matching(tmp_path):
    # two speakers with one stem, a whole id at the top, a recording's name, and another speaker's file
    found = grids(tmp_path, "s1/01", "s2/01", "s1-02", "take7", "s2/03", "extra/s3/04")
    utts = {"s1-01": "s1", "s2-01": "s2", "s1-02": "s1", "s1-03": "s1", "s2_05": "s2", "s3-04": "s3"}
    matched = found.match(utts, {"s2_05": "take7", "s1-03": "nothing"})
    assert {utt: str(path.relative_to(tmp_path).with_suffix("")) for utt, path in matched.items()} == {
        "s1-01": "s1/01",
        "s2-01": "s2/01",
        "s1-02": "s1-02",
        "s2_05": "take7",
        "s3-04": "extra/s3/04",
    }


def test_ambiguous_names(tmp_path):
    with pytest.raises(UserError, match="fits both s1-01 and s2-01"):
        grids(tmp_path / "a", "01").match({"s1-01": "s1", "s2-01": "s2"})
    with pytest.raises(UserError, match="s1-01: several TextGrids fit"):
        grids(tmp_path / "b", "x/s1-01", "y/s1-01").match({"s1-01": "s1"})
    with pytest.raises(
        UserError, match="none of the 1 utterances; expected names like s1-01.TextGrid, found x.TextGrid"
    ):
        grids(tmp_path / "c", "x").match({"s1-01": "s1"})
    with pytest.raises(UserError, match="expected <utterance>.TextGrid"):
        TextGrids(tmp_path / "none")
