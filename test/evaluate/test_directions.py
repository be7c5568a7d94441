"""Groups of trials by what they change."""

from evc2.evaluate.directions import ALL, MOST, directions_of, in_order, title
from evc2.evaluate.report.figures import direction_title
from evc2.fileio.datadir import Trial

EMOTIONS = {"4-a": "neutral", "7-a": "sad", "10-a": "neutral"}
SPEAKERS = {"4-a": "4", "7-a": "7", "10-a": "10"}


def test_speakers_where_they_change_else_emotions():
    trials = [
        Trial("a", "4-a", "7", "neutral"), Trial("b", "7-a", "4", "sad", "4-x"), Trial("c", "4-a", "4", "angry"),
        Trial("d", "unknown", "4", "happy"), Trial("e", "10-a", "4", "angry"),
    ]  # fmt: skip
    found = directions_of(trials, EMOTIONS, SPEAKERS)
    assert found == {"a": "4 to 7", "b": "7 to 4", "c": "neutral -> angry", "d": "text -> happy", "e": "10 to 4"}
    wanted = ["neutral -> angry", "text -> happy", "4 to 7", "7 to 4", "10 to 4"]
    assert in_order(found.values()) == wanted  # numbers by size, not 10 before 4


def test_many_pairs_are_put_together_by_target():
    names = ["a", "b", "c", "d"]
    spoken = {f"{name}-1": name for name in names}
    trials = [Trial(f"{s}-{t}", f"{s}-1", t, "neutral") for s in names for t in names if s != t]
    assert len(trials) == MOST and len(set(directions_of(trials, {}, spoken).values())) == MOST
    spoken["e-1"] = "e"
    found = directions_of([*trials, Trial("more", "e-1", "a", "neutral")], {}, spoken)
    assert set(found.values()) == {"to a", "to b", "to c", "to d"} and found["more"] == "to a" == found["b-a"]


def test_names_of_any_kind_can_be_ordered():
    found = in_order(["s2 to s10", "s2 to s9", "to x", "3 to s1", "s to 1", "happy -> sad", "neutral -> sad"])
    assert found == ["neutral -> sad", "happy -> sad", "3 to s1", "s2 to s9", "s2 to s10", "s to 1", "to x"]


def test_headings_say_what_the_names_are():
    assert [title(name) for name in ("4 to 7", "to 7", "neutral -> sad", ALL)] == [
        "speaker 4 to 7", "to speaker 7", "neutral -> sad", "all directions",
    ]  # fmt: skip
    assert direction_title("neutral -> sad") == "neutral → sad" and direction_title("4 to 7") == "speaker 4 to 7"
