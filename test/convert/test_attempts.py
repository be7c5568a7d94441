"""What is told of conversions that may fail."""

import json

import numpy as np
import pytest

from evc2.convert.attempts import note_attempt, report_attempts, warn_of_failure


def made(phones: str, ending: str = "stop", whole: bool = True) -> dict:
    count = len(phones.split())
    return {
        "ending": ending, "whole": whole, "phones": phones.split(), "feats": np.zeros((7, 80)),
        "attention": np.full((9, count), 1 / count), "heard_attention": np.eye(count + 1, 12),
    }  # fmt: skip


def test_failures_are_counted_and_named(tmp_path):
    note_attempt(tmp_path, "a", made("k æ t"), "k æ t")
    note_attempt(tmp_path, "b", made("k æ p s", "limit", False), "k æ t")
    note_attempt(tmp_path, "c", made("d ɒ ɡ", "attention"), None)
    note_attempt(tmp_path, "stranger", made("x"), "y")  # of a longer list that was here before
    report_attempts(tmp_path, ["a", "b", "c", "d"])
    said = json.loads((tmp_path / "attempts.json").read_text())
    assert (said["attempts"], said["failures"], said["failed"]) == (3, 1, ["b"])
    assert said["ended by stop"] == said["ended by limit"] == said["ended by attention"] == 1
    assert said["phone_error_rate"] == round((0 + 2 / 3) / 2, 4)
    rows = [line.split("\t") for line in (tmp_path / "attempts.tsv").read_text().splitlines()]
    assert rows[0] == ["trial", "ending", "whole", "frames", "phone_errors", "phones"]
    assert rows[2] == ["b", "limit", "False", "7", "0.6667", "k æ p s"]
    assert rows[3][4] == ""


def test_systems_that_cannot_fail_leave_nothing(tmp_path):
    note_attempt(tmp_path, "a", {"feats": np.zeros((7, 80))})
    note_attempt(tmp_path, "b", None)
    report_attempts(tmp_path, ["a", "b"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "more, said",
    [
        ({}, None),
        ({"whole": False, "ending": "limit"}, "cut off after 7 frames: words may be missing"),
        ({"whole": False, "heard_whole": False}, "the search for the words of the recording was cut off: words"),
        ({"whole": False, "heard_whole": False, "ending": "limit"}, "was cut off and the speech did not end by itself"),
        ({"whole": False}, "ended before the last of its phones"),
    ],
)
def test_failures_are_said_in_the_log(caplog, more, said):
    warn_of_failure({**made("k æ t"), "heard_whole": True, **more})
    assert len(caplog.records) == (said is not None) and (said or "") in caplog.text


def test_attention_is_drawn(tmp_path):
    note_attempt(tmp_path, "a", made("k æ t"), plot=True)
    assert (tmp_path / "plots" / "a_attention.png").stat().st_size > 5000
