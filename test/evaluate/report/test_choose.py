from collections import Counter
from types import SimpleNamespace

import pytest

from evc2.errors import UserError
from evc2.evaluate.report import choose_trials
from evc2.fileio.datadir import Trial


def many(n=5, emotions=("angry", "sad", "happy"), speakers=("s1", "s2", "s3", "s4")):
    return [Trial(f"{s}-{e}-{k}", f"u{k}", s, e) for s in speakers for e in emotions for k in range(n)]


def test_even_over_directions_and_speakers():
    chosen = choose_trials(many(), 12, seed=3)
    assert len(set(chosen)) == 12
    assert set(Counter(name.split("-")[1] for name in chosen).values()) == {4}
    assert set(Counter(name.rsplit("-", 1)[0] for name in chosen).values()) == {1}
    few = choose_trials(many(), 4, seed=3)
    assert len({name.split("-")[0] for name in few}) == 4


def test_an_uneven_list_does_not_win():
    trials = many(50, emotions=("angry",)) + many(1, emotions=("sad",), speakers=("s1", "s2"))
    counts = Counter(name.split("-")[1] for name in choose_trials(trials, 4))
    assert counts == {"angry": 2, "sad": 2}


def test_source_emotions_tell_directions_apart():
    places = [(f"{source}-{k}", source) for source in ("neutral", "calm") for k in range(9)]
    jobs = [SimpleNamespace(trial=name, speaker="s", emotion="sad", source_emotion=source) for name, source in places]
    assert Counter(name.split("-")[0] for name in choose_trials(jobs, 6)) == {"neutral": 3, "calm": 3}


def test_the_seed_decides_and_the_order_of_the_list_does_not():
    trials = many()
    assert choose_trials(trials, 6, 1) == choose_trials(trials, 6, 1) != choose_trials(trials, 6, 2)
    assert set(choose_trials(trials[::-1], 6, 1)) == set(choose_trials(trials, 6, 1))
    order = [trial.id for trial in trials]
    assert choose_trials(trials, 6, 1) == sorted(choose_trials(trials, 6, 1), key=order.index)


def test_numbers():
    trials = many(1)
    assert choose_trials(trials, 99) == [trial.id for trial in trials]
    assert choose_trials(trials, 0) == [] == choose_trials([], 5)
    with pytest.raises(UserError, match="0 or more, found -1"):
        choose_trials(trials, -1)
