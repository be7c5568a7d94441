"""Statistics: sums that add up, fallbacks, unseen speakers."""

import logging

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.feats.stats import LF0_STD_FLOOR, Stats, moments_of, speech_mask

RNG = np.random.default_rng(0)


def utterance(mean=0.0, frames=200, f0=150.0, spread=0.2, level=-5.0):
    feats = RNG.normal(mean, 1 + abs(mean), (frames, 3)).astype(np.float32)
    pitch = np.exp(RNG.normal(np.log(f0), spread, frames)) * (RNG.random(frames) < 0.6)
    return feats, pitch.astype(np.float32), RNG.normal(level, 1.0, frames).astype(np.float32)


def same(a, b, **tolerance):
    for name in ("feats_mean", "feats_std", "lf0_mean", "lf0_std", "power_mean", "power_std"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), err_msg=name, **(tolerance or {"rtol": 1e-10}))
    assert a.n_frames == b.n_frames


@pytest.fixture
def stats():
    stats = Stats()
    for speaker, base in (("s1", 120.0), ("s2", 220.0)):
        stats.add(speaker, "neutral", *utterance(0.0, f0=base))
        stats.add(speaker, "angry", *utterance(1.0, f0=base * 1.5, spread=0.3, level=-3.0))
    return stats


def test_moments_by_numpy():
    feats, f0, power = utterance()
    power[:50] -= 20  # 87 dB down: silence
    m = moments_of(feats, f0, power)
    np.testing.assert_allclose(m.feats_mean, feats.mean(0, dtype=np.float64), rtol=1e-9)
    np.testing.assert_allclose(m.feats_std, feats.std(0, dtype=np.float64), rtol=1e-9)
    lf0 = np.log(f0[f0 > 0].astype(np.float64))
    assert (m.lf0_mean, m.lf0_std) == pytest.approx((lf0.mean(), lf0.std()))
    assert (m.power_mean, m.power_std) == pytest.approx((power[50:].mean(), power[50:].std()), rel=1e-5)
    assert m.n_frames == 200


def test_speech_is_within_40_db_of_the_loud_frames():
    power = np.zeros(200)
    power[:2] = -9.2, -9.3  # 40 dB is 9.21 in ln power
    assert speech_mask(power).tolist() == [True, False] + [True] * 198


def test_parts_add_up_to_the_whole():
    utts = [(s, e, utterance(i)) for i, (s, e) in enumerate([("a", "sad"), ("b", "sad"), ("a", "sad"), ("a", "calm")])]
    whole, parts = Stats(), Stats()
    for speaker, emotion, utt in utts:
        whole.add(speaker, emotion, *utt)
        part = Stats()
        part.add(speaker, emotion, *utt)
        parts.merge(part)
    for key in ((None, None), ("a", "sad"), ("a", None), (None, "sad")):
        same(whole.get(*key), parts.get(*key))
    joined = [np.concatenate(arrays) for arrays in zip(*(u for s, e, u in utts if (s, e) == ("a", "sad")), strict=True)]
    np.testing.assert_allclose(whole.get("a", "sad").feats_std, joined[0].std(0, dtype=np.float64), rtol=1e-9)
    assert whole.speakers == ["a", "b"] and whole.emotions == ["calm", "sad"]


def test_save_and_load(tmp_path, stats):
    stats.save(tmp_path / "stats.npz")
    again = Stats.load(tmp_path / "stats.npz")
    for speaker in ("s1", "s2", None):
        for emotion in ("neutral", "angry", None):
            same(stats.get(speaker, emotion), again.get(speaker, emotion), rtol=0)
    with np.load(tmp_path / "stats.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype != object for name in arrays.files)


@pytest.mark.parametrize("content", [b"", b"not a zip", None])
def test_damaged_file(tmp_path, stats, content):
    path = tmp_path / "stats.npz"
    stats.save(path)
    path.write_bytes(path.read_bytes()[:-300] if content is None else content)
    with pytest.raises(UserError, match=r"stats\.npz: not a statistics file"):
        Stats.load(path)
    with pytest.raises(UserError, match="no such file"):
        Stats.load(tmp_path / "other.npz")


def test_pickle_is_refused(tmp_path):
    np.savez(tmp_path / "stats.npz", keys=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UserError, match="not a statistics file"):
        Stats.load(tmp_path / "stats.npz")


def test_unknown_names(stats):
    with pytest.raises(UserError, match=r"no emotion 'angri' \(did you mean angry\?\); known: angry, neutral"):
        stats.get(None, "angri")
    with pytest.raises(UserError, match="no speaker 's3'.*known: s1, s2"):
        stats.get("s3")
    stats.add("s3", "neutral", *utterance())
    with pytest.raises(UserError, match="no 'angry' of speaker 's3', only neutral"):
        stats.get("s3", "angry")


def test_too_few_voiced_frames(stats, caplog):
    feats, _, power = utterance()
    f0 = np.zeros(200, dtype=np.float32)
    f0[3] = 100.0
    stats.add("s1", "sad", feats, f0, power)
    with caplog.at_level(logging.WARNING):
        m = stats.get("s1", "sad")
        stats.get("s1", "sad")
    assert [r.message for r in caplog.records if "s1 sad has 1 voiced frames" in r.message and "s1, all" in r.message]
    assert len(caplog.records) == 1, "said once"
    assert m.lf0_mean == pytest.approx(stats.get("s1").lf0_mean)
    np.testing.assert_allclose(m.feats_mean, feats.mean(0), rtol=1e-5)


def test_without_f0_and_power():
    stats = Stats()
    stats.add("s", "happy", np.ones((4, 2)))
    m = stats.get("s", "happy")
    assert np.isnan(m.lf0_mean) and np.isnan(m.power_mean) and np.isfinite(m.lf0_std)
    assert (m.feats_std > 0).all(), "constant features have a deviation to divide by"


def test_deviation_floor():
    assert moments_of(np.zeros((9, 2)), np.full(9, 100.0), np.zeros(9)).lf0_std == LF0_STD_FLOOR


def test_shapes_are_checked(stats):
    feats, f0, power = utterance()
    for bad in ((feats, f0[:-1], power), (feats[:0], f0[:0], power[:0]), (feats[:, 0], f0, power)):
        with pytest.raises(ValueError, match="equal T"):
            stats.add("s1", "angry", *bad)
    with pytest.raises(UserError, match="different sizes"):
        stats.add("s1", "angry", feats[:, :2], f0, power)


def test_pair_of_a_known_speaker(stats):
    src, tgt = stats.pair("s1", "neutral", "angry", moments_of(*utterance(5.0)))
    same(src, stats.get("s1", "neutral"))
    same(tgt, stats.get("s1", "angry"))


def test_pair_of_an_unseen_speaker(stats):
    """The target is the source moved as the training speakers move on the mean."""
    own = moments_of(*utterance(0.5, f0=180.0))
    src, tgt = stats.pair("new", "neutral", "angry", own)
    same(src, own)
    known = [(stats.get(s, "neutral"), stats.get(s, "angry")) for s in ("s1", "s2")]
    shift = np.mean([t.lf0_mean - s.lf0_mean for s, t in known])
    ratio = np.sqrt(np.prod([t.lf0_std / s.lf0_std for s, t in known]))
    assert tgt.lf0_mean == pytest.approx(own.lf0_mean + shift)
    assert tgt.lf0_std == pytest.approx(own.lf0_std * ratio)
    assert np.exp(tgt.lf0_mean - own.lf0_mean) == pytest.approx(1.5, rel=0.1)
    np.testing.assert_allclose(
        tgt.feats_mean, own.feats_mean + np.mean([t.feats_mean - s.feats_mean for s, t in known], axis=0)
    )
    same(stats.pair(None, "neutral", "angry", own)[1], tgt)


def test_pair_of_a_speaker_with_one_emotion(stats):
    stats.add("s3", "neutral", *utterance(0.0, f0=90.0))
    src, tgt = stats.pair("s3", "neutral", "angry")
    same(src, stats.get("s3", "neutral"))
    assert np.exp(tgt.lf0_mean) == pytest.approx(90 * 1.5, rel=0.1)


def test_pair_without_parallel_speakers():
    """If nobody has both emotions, the pools of the emotions are compared."""
    stats = Stats()
    stats.add("a", "neutral", *utterance(f0=100.0))
    stats.add("b", "sad", *utterance(f0=130.0))
    own = moments_of(*utterance(f0=200.0))
    _, tgt = stats.pair("c", "neutral", "sad", own)
    assert np.exp(tgt.lf0_mean - own.lf0_mean) == pytest.approx(1.3, rel=0.1)


def test_pair_errors(stats):
    with pytest.raises(UserError, match="known speakers: s1, s2"):
        stats.pair("s9", "neutral", "angry")
    with pytest.raises(UserError, match="no emotion 'bored'"):
        stats.pair("s9", "neutral", "bored", moments_of(*utterance()))


def test_durations_are_means_of_logs(tmp_path, stats):
    assert np.isnan(stats.get("s1", "neutral").duration_mean), "none was told"
    stats.add("s1", "neutral", *utterance(), duration=0.1)
    stats.add("s1", "neutral", *utterance(), duration=0.4)
    stats.add("s1", "angry", *utterance(), duration=0.1)
    assert np.exp(stats.get("s1", "neutral").duration_mean) == pytest.approx(0.2)
    assert np.exp(stats.get(None, "neutral").duration_mean) == pytest.approx(0.2)
    src, tgt = stats.pair("s1", "neutral", "angry")
    assert np.exp(tgt.duration_mean - src.duration_mean) == pytest.approx(0.5)
    own = moments_of(*utterance(), duration=3.0)
    assert np.exp(stats.pair("new", "neutral", "angry", own)[1].duration_mean) == pytest.approx(1.5)
    stats.save(tmp_path / "stats.npz")
    same(Stats.load(tmp_path / "stats.npz").get("s1", "neutral"), stats.get("s1", "neutral"), rtol=0)
    with pytest.raises(ValueError, match="duration above 0"):
        stats.add("s1", "angry", *utterance(), duration=0.0)


def test_files_of_earlier_versions_hold_no_durations(tmp_path, stats):
    stats.add("s1", "neutral", *utterance(), duration=0.1)
    stats.save(tmp_path / "new.npz")
    with np.load(tmp_path / "new.npz") as arrays:
        np.savez(tmp_path / "old.npz", **{k: v for k, v in arrays.items() if not k.startswith("duration")})
    old = Stats.load(tmp_path / "old.npz")
    assert np.isnan(old.get("s1", "neutral").duration_mean)
    assert old.get("s1", "neutral").lf0_mean == stats.get("s1", "neutral").lf0_mean
    old.merge(stats)
    assert np.exp(old.get("s1", "neutral").duration_mean) == pytest.approx(0.1)
