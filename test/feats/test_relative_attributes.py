"""Functionals, ranking functions and the strengths they give, on data whose direction is known."""

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.feats.functionals import functionals
from evc2.feats.ranking import order_accuracy, rank
from evc2.feats.relative_attributes import RelativeAttributes

SIZE = 6
DIRECTION = np.array([1.5, 0, -1.5, 0, 1.5, 0])


def test_functionals_by_hand():
    feats = np.array([[0.0, 1], [2, 1], [4, 1], [9, 1]])
    f0 = np.exp([0, 5.0, 5.2, 0]) * [0, 1, 1, 0]
    power = np.array([-1.0, 0, 1, -30])  # the last frame is far below speech
    found = functionals(feats, f0, power)
    assert found.shape == (2 * 3 + 7 + 6,)
    np.testing.assert_allclose(found[:6], [2, 1, np.std([0, 2, 4]), 0, 3, 0])
    np.testing.assert_allclose(found[6:13], [5.1, 0.1, 5.01, 5.19, 0.2, 0.5, 0.25])
    np.testing.assert_allclose(found[13:], [0, np.std([-1, 0, 1]), -0.9, 0.9, 1, 0.75])


def test_functionals_of_little():
    assert functionals(np.ones((1, 2))).tolist() == [1, 1, 0, 0, 0, 0]
    unvoiced = functionals(np.ones((3, 1)), np.zeros(3))[3:]
    assert np.isnan(unvoiced[:5]).all() and unvoiced[5:].tolist() == [0, 0]
    with pytest.raises(ValueError, match="equal T"):
        functionals(np.ones((3, 1)), np.zeros(2))
    with pytest.raises(ValueError, match="equal T"):
        functionals(np.ones((0, 1)))


def test_the_ranking_function_is_the_minimum_over_all_pairs():
    """Against the objective written out pair by pair, which a general method cannot make smaller."""
    from scipy.optimize import minimize

    rng = np.random.default_rng(0)
    groups = [(rng.normal(0.4, 1, (m, 4)), rng.normal(0, 1, (n, 4))) for m, n in ((5, 4), (3, 6))]
    c, similarity = 3.0, 0.7

    def objective(w):
        order = [max(0, 1 - w @ (i - j)) ** 2 for high, low in groups for i in high for j in low]
        similar = [
            (w @ (rows[i] - rows[j])) ** 2 for g in groups for rows in g for i in range(len(rows)) for j in range(i)
        ]
        return w @ w / 2 + c / 2 * np.mean(order) + similarity * c / 2 * np.mean(similar)

    found = rank(groups, c, similarity)
    best = minimize(objective, np.zeros(4), method="BFGS", options={"gtol": 1e-10})
    np.testing.assert_allclose(found, best.x, atol=1e-6)
    assert objective(found) <= best.fun + 1e-12


def test_order_accuracy():
    assert order_accuracy(np.array([1.0, 3]), np.array([1.0, 2])) == (2.5, 4)
    assert order_accuracy(np.array([1.0]), np.empty(0)) == (0.0, 0)


def planted(seed=0, each=40, speakers=("a", "b"), noise=0.3):
    """Neutral speech, and angry speech of known strength along DIRECTION, of speakers who are far apart."""
    rng = np.random.default_rng(seed)
    x, spk, emo, strength = [], [], [], []
    for number, speaker in enumerate(speakers):
        home = np.random.default_rng(number).normal(0, 20, SIZE)
        for emotion in ("neutral", "angry"):
            for _ in range(each):
                own = rng.uniform(0.5, 1.5) if emotion == "angry" else 0.0
                x.append(home + own * DIRECTION + rng.normal(0, noise, SIZE))
                spk.append(speaker)
                emo.append(emotion)
                strength.append(own)
    return np.array(x), spk, emo, np.array(strength)


@pytest.fixture(scope="module")
def model():
    return RelativeAttributes.fit(*planted()[:3])


def test_a_planted_direction_is_found(model):
    w, planted_there = model.weights[0], DIRECTION / model.scale  # both for standardised differences
    assert model.emotions == ("angry",)
    assert w @ planted_there / np.linalg.norm(w) / np.linalg.norm(planted_there) > 0.98


def test_neutral_is_below_emotional_and_more_is_stronger(model):
    x, spk, emo, strength = planted(seed=1)
    angry = np.array(emo) == "angry"
    found = model.score(x, "angry", spk)
    assert found.min() == 0 and 0.95 < found.max() <= 1
    right, pairs = order_accuracy(found[angry], found[~angry])
    assert right / pairs > 0.99
    assert np.corrcoef(found[angry], strength[angry])[0, 1] > 0.8
    # On a line away from neutral, strength never falls, and half of the way is about half of the strength.
    base = x[~angry & (np.array(spk) == "a")].mean(0)
    line = model.score(base + np.linspace(-1, 3, 30)[:, None] * DIRECTION, "angry", ["a"] * 30)
    assert (np.diff(line) >= 0).all() and line[0] == 0 and line[-1] == 1
    half = model.score(base[None] + 0.75 * DIRECTION, "angry", ["a"])  # 1.5, the strongest there is, is nearly 1
    assert half == pytest.approx(0.5, abs=0.1)


def test_limits_and_neutral(model):
    x, spk, emo, _ = planted()
    neutral = np.array(emo) == "neutral"
    assert (model.score(x[neutral], "angry", list(np.array(spk)[neutral])) == 0).mean() == pytest.approx(0.5)
    assert (model.score(x, "neutral", spk) == 0).all()
    found = RelativeAttributes.fit(x, spk, emo, limits="range").score(x, "angry", spk)
    assert (found == 0).sum() == 1 and (found == 1).sum() == 1 and found.min() == 0 and found.max() == 1


def test_speakers_who_were_not_trained_on(model):
    x, spk, emo, _ = planted(seed=2, speakers=("a", "b", "c"))
    angry, stranger = np.array(emo) == "angry", np.array(spk) == "c"
    known = model.knowing(x, spk, emo)
    assert known.speakers == ("a", "b", "c")
    np.testing.assert_array_equal(known.centres[:2], model.centres)
    scores = known.raw(x[stranger], "angry", ["c"] * stranger.sum())
    right, pairs = order_accuracy(scores[angry[stranger]], scores[~angry[stranger]])
    assert right / pairs > 0.98
    assert np.isfinite(model.score(x[stranger], "angry", ["c"] * stranger.sum())).all()


def test_across_speakers_when_asked():
    x, spk, emo, _ = planted(speakers=("a",))
    across = RelativeAttributes.fit(x, spk, emo, within_speaker=False)
    assert across.speakers == ()
    # With one speaker it is the same, whoever is said to speak.
    np.testing.assert_allclose(
        across.score(x, "angry", ["z"] * len(x)), RelativeAttributes.fit(x, spk, emo).score(x, "angry", spk), atol=1e-9
    )


def test_unknown_values_and_constant_columns_say_nothing():
    x, spk, emo, _ = planted()
    x = np.concatenate([x, np.full((len(x), 1), 3.0), np.full((len(x), 1), np.nan)], axis=1)
    x[5, 0] = np.nan
    model = RelativeAttributes.fit(x, spk, emo)
    assert (model.weights[0, -2:] == 0).all()
    x[:, -2:] = 1e6
    assert np.isfinite(model.score(x, "angry", spk)).all()


def test_saved_and_loaded(model, tmp_path):
    model.save(tmp_path / "a" / "s.npz")
    loaded = RelativeAttributes.load(tmp_path / "a" / "s.npz")
    x, spk, *_ = planted(seed=3)
    np.testing.assert_array_equal(loaded.score(x, "angry", spk), model.score(x, "angry", spk))
    assert (loaded.emotions, loaded.speakers) == (model.emotions, model.speakers)
    (tmp_path / "s.npz").write_bytes((tmp_path / "a" / "s.npz").read_bytes()[:200])
    with pytest.raises(UserError, match=r"s\.npz: not a file of ranking functions"):
        RelativeAttributes.load(tmp_path / "s.npz")
    np.savez(tmp_path / "o.npz", emotions=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UserError, match="not a file of ranking functions"):
        RelativeAttributes.load(tmp_path / "o.npz")
    with pytest.raises(UserError, match="no such file.*emotion_strength"):
        RelativeAttributes.load(tmp_path / "none.npz")


def test_mistakes_are_named(model):
    x, spk, emo, _ = planted()
    with pytest.raises(UserError, match="expected neutral and other emotions, found angry"):
        RelativeAttributes.fit(x, spk, ["angry"] * len(x))
    with pytest.raises(UserError, match="expected neutral and other emotions, found neutral, other"):
        RelativeAttributes.fit(x, spk, ["other" if e == "angry" else e for e in emo])
    apart = ["a" if e == "neutral" else "b" for e in emo]
    with pytest.raises(UserError, match=r"angry: none of its speakers \(b\) has neutral"):
        RelativeAttributes.fit(x, apart, emo)
    with pytest.raises(UserError, match="limits: expected.*'quantil'.*did you mean quantile"):
        RelativeAttributes.fit(x, spk, emo, limits="quantil")
    with pytest.raises(UserError, match="c above 0"):
        RelativeAttributes.fit(x, spk, emo, c=0.0)
    with pytest.raises(UserError, match="do not differ from neutral"):
        RelativeAttributes.fit(np.ones((4, 2)), ["a"] * 4, ["neutral", "neutral", "angry", "angry"])
    with pytest.raises(UserError, match="'angri' was not learned.*did you mean angry"):
        model.score(x, "angri", spk)
    with pytest.raises(UserError, match="expected 6 functionals an utterance, found 5"):
        model.score(x[:, :5], "angry", spk)
