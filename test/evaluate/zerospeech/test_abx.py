"""The whole ABX score against a plain triple loop."""

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.evaluate.zerospeech import abx as module
from evc2.evaluate.zerospeech.abx import score
from evc2.evaluate.zerospeech.averages import Averager
from evc2.evaluate.zerospeech.corpus import load
from evc2.evaluate.zerospeech.items import make_items


def both(rows, rows_of_items):
    items = make_items(rows_of_items)
    return items, load(items.names, items.onsets, items.offsets, rows)


@pytest.mark.parametrize("kind", ["cosine", "kl", "levenshtein"])
@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("speaker", ["across", "within"])
def test_score_is_that_of_a_triple_loop(abx, kind, dense, speaker):
    for seed in range(3):
        rows, wanted = abx.random(seed, dense=dense)
        items, corpus = both(rows, wanted)
        for normalize in (None, True, False):
            plain = abx.plain(rows, wanted, kind, normalize, speaker)
            found = score(items, corpus, kind, normalize, speaker)
            assert found["error"] == pytest.approx(plain.error, abs=1e-9)
            assert found["triplets"] == len(plain.triplets) and found["cells"] == plain.cells
            assert (found["phone_pairs"], found["speaker_pairs"]) == (plain.phone_pairs, plain.speaker_pairs)
            assert found["contexts"] == plain.contexts and found["items"] == len(wanted)


def test_each_pair_is_compared_once(abx):
    # Every phone by every speaker in every context: then no comparison is without use.
    rows, wanted = abx.random(0, count=120, speakers=2, phones=2, contexts=1)
    plain = abx.plain(rows, wanted)
    assert score(*both(rows, wanted))["pairs"] == plain.pairs


def test_threads_and_parts_change_nothing(abx, monkeypatch):
    rows, wanted = abx.random(5, count=150, speakers=4, phones=4, contexts=3, dense=True)
    items, corpus = both(rows, wanted)
    whole = score(items, corpus)
    monkeypatch.setattr(module, "_CELLS", 5)
    assert len({score(items, corpus, nj=nj)["error"] for nj in (1, 2, 3, 7)}) == 1
    assert score(items, corpus, nj=2)["error"] == pytest.approx(whole["error"], abs=1e-12)
    assert {**score(items, corpus, nj=2), "error": 0} == {**whole, "error": 0}


def test_known_errors():
    def item(name, phone, speaker, context="c"):
        return (name, float("nan"), float("nan"), phone, context, speaker)

    a, b = [[1.0, 0.0]], [[0.0, 1.0]]
    wanted = [item(f"{s}_{p}", p, s) for s in ("s", "t") for p in ("p", "q")]
    rows = {f"{s}_{p}": np.array(a if p == "p" else b) for s in ("s", "t") for p in ("p", "q")}
    assert score(*both(rows, wanted))["error"] == 0  # phones are all that differs; one row each
    by_speaker = {name: np.array(a if name[0] == "s" else b) for name in rows}
    assert score(*both(by_speaker, wanted))["error"] == 50  # nothing but the speaker: all ties
    swapped = {**rows, "t_p": rows["t_q"], "t_q": rows["t_p"]}
    assert score(*both(swapped, wanted))["error"] == 100
    # One context in which it fails and one in which it does not count alike, however many items they have.
    more = [item(f"{s}_{p}_{k}", p, s, "d") for s in ("s", "t") for p in ("p", "q") for k in range(3)]
    many = {name: np.array(a if name[2] == "p" else b) for name, *_ in more}
    assert score(*both({**swapped, **many}, wanted + more))["error"] == pytest.approx(50)


def test_items_without_rows_are_left_out(abx):
    rows, wanted = abx.random(1)
    gone = {wanted[k][0] for k in (0, 7, 21)}
    some = {name: value for name, value in rows.items() if name not in gone}
    items, corpus = both(some, wanted)
    plain = abx.plain(some, [item for item in wanted if item[0] not in gone])
    assert score(items, corpus)["error"] == pytest.approx(plain.error)
    assert sorted(corpus.missing) == sorted(gone)


def test_a_task_without_triplets():
    rows = {"s_a": np.ones((1, 2)), "t_a": np.ones((1, 2))}
    wanted = [(name, float("nan"), float("nan"), "p", "c", name[0]) for name in rows]
    with pytest.raises(UserError, match="the task has no triplet"):
        score(*both(rows, wanted))


def test_averages_keep_no_more_than_pairs(monkeypatch):
    rng = np.random.default_rng(0)
    one, many = Averager(3, 4), Averager(3, 4)
    columns = [rng.integers(0, n, 2000) for n in (3, 3, 4, 4)]
    values = rng.standard_normal(2000)
    one.add(*columns, values)
    for k in range(0, 2000, 10):
        many.add(*(column[k : k + 10] for column in columns), values[k : k + 10])
        assert len(many._parts) < 64
    assert many.result() == pytest.approx(one.result())
