"""Voices as vectors, the means of speakers, and their picture."""

import numpy as np
import pytest
import soxr

from evc2.convert import voices
from evc2.convert.voice_map import check_plot, colours, figure, flatten, plot_voices
from evc2.errors import UserError
from evc2.evaluate.speaker import speaker_missing

needs_weights = pytest.mark.skipif(speaker_missing() is not None, reason=str(speaker_missing()))


class Spy:
    """Stands for an encoder and keeps what it was given."""

    def __init__(self):
        self.wavs = []

    def embed(self, wav):
        self.wavs.append(wav)
        return np.array([3.0, 4.0])


@pytest.fixture
def spy(monkeypatch):
    spy = Spy()
    monkeypatch.setattr(voices, "encoder", lambda kind, weights=None: spy)
    return spy


@pytest.mark.parametrize("kind", sorted(voices.KINDS))
def test_every_encoder_hears_16_khz(spy, voice, kind):
    wav = voice(1.0, rate=22050)
    vector = voices.voice_vector(wav, 22050, kind)
    assert vector.dtype == np.float32 and vector.tolist() == pytest.approx([0.6, 0.8])
    expected = soxr.resample(wav, 22050, 16000)
    at = len(expected) - len(spy.wavs[0])
    assert 0 <= at < 3200  # resemblyzer's is trimmed
    if kind == "deepspeaker":
        np.testing.assert_array_equal(spy.wavs[0], expected)


def test_silence_around_the_speech_is_cut_for_resemblyzer(spy, voice):
    padded = np.pad(voice(1.0), 16000)
    voices.voice_vector(padded, 16000, "resemblyzer")
    voices.voice_vector(padded, 16000, "deepspeaker")
    assert len(spy.wavs[0]) < 1.2 * 16000 and len(spy.wavs[1]) == len(padded)


@pytest.mark.parametrize(
    ("wav", "message"),
    [
        (np.zeros(16000), "silent"),
        (np.zeros(0), "empty"),
        (np.full(16000, np.nan), "NaN"),
        (0.1 * np.ones(200), "shorter"),
        (np.zeros((2, 16000)), "not mono"),
    ],
)
def test_nothing_to_tell(spy, wav, message):
    with pytest.raises(UserError, match=f"no voice.*{message}"):
        voices.voice_vector(wav, 16000, "resemblyzer")


def test_a_clipped_recording_has_a_voice(spy, voice):
    assert len(voices.voice_vector(np.clip(10 * voice(1.0), -1, 1), 16000, "deepspeaker")) == 2


def test_unknown_kind_and_missing_weights(monkeypatch, voice):
    with pytest.raises(UserError, match="did you mean resemblyzer"):
        voices.encoder("resemblizer")
    with pytest.raises(UserError, match="--weights FILE.*ResCNN_triplet"):
        voices.voice_vector(voice(1.0), 16000, "deepspeaker")
    with pytest.raises(UserError, match="nowhere.h5"):
        voices.encoder("deepspeaker", "nowhere.h5")
    monkeypatch.setattr("evc2.evaluate.speaker.PACKAGE", "no_such_package_here")
    voices.encoder.cache_clear()
    with pytest.raises(UserError, match="pip install --no-deps Resemblyzer"):
        voices.encoder("resemblyzer")


@needs_weights
def test_one_voice_at_two_rates_and_another(voice):
    low, high = voice(2.0, rate=48000, f0=110), voice(2.0, f0=240)
    at_48 = voices.voice_vector(low, 48000, "resemblyzer")
    at_16 = voices.voice_vector(soxr.resample(low, 48000, 16000), 16000, "resemblyzer")
    assert at_48.shape == (256,) and at_48 @ at_16 > 0.999
    assert at_48 @ voices.voice_vector(high, 16000, "resemblyzer") < 0.9


def test_speaker_means():
    vectors = {"a-1": np.array([1.0, 0.0]), "a-2": np.array([0.0, 1.0]), "b-1": np.array([0.0, -2.0])}
    found = voices.speaker_means(vectors, {"a-1": "a", "a-2": "a", "b-1": "b"})
    assert found["a"].tolist() == pytest.approx([np.sqrt(0.5)] * 2) and found["b"].tolist() == [0.0, -1.0]
    with pytest.raises(ValueError, match="no direction"):
        voices.speaker_means({"a-1": np.ones(2), "a-2": -np.ones(2)}, {"a-1": "a", "a-2": "a"})


def test_share_of_utterances_at_their_own_speaker():
    east, west = np.array([1.0, 0.1]), np.array([-1.0, 0.1])
    owners = {"a-1": "a", "a-2": "a", "a-3": "a", "b-1": "b", "b-2": "b"}
    good = {"a-1": east, "a-2": 2 * east, "a-3": east, "b-1": west, "b-2": west}
    assert voices.own_share(good, owners) == 1
    assert voices.own_share({**good, "a-3": west}, owners) == pytest.approx(4 / 5)
    # With itself in the mean, b-2 would seem to be among its own.
    assert voices.own_share({**good, "b-2": east}, owners) == pytest.approx(3 / 5)
    assert voices.own_share({"a-1": east, "b-1": west}, owners) is None
    assert voices.own_share({"a-1": east, "a-2": east}, owners) is None


def clusters(speakers=6, each=5, size=16):
    rng = np.random.default_rng(0)
    means = rng.standard_normal((speakers, size))
    by_utt = {f"s{s}-{u}": means[s] + 0.1 * rng.standard_normal(size) for s in range(speakers) for u in range(each)}
    owners = {utt: utt.partition("-")[0] for utt in by_utt}
    return by_utt, owners, voices.speaker_means(by_utt, owners)


def test_flattened_clusters_stay_together():
    by_utt, owners, _ = clusters()
    places = flatten(np.stack(list(by_utt.values())))
    np.testing.assert_array_equal(places, flatten(np.stack(list(by_utt.values()))))
    names = np.array([owners[utt] for utt in by_utt])
    distances = np.linalg.norm(places[:, None] - places[None], axis=2) + 1e9 * np.eye(len(places))
    assert (names[distances.argmin(axis=1)] == names).all()
    assert flatten(np.random.default_rng(0).standard_normal((5, 4))).shape == (5, 2)


def test_what_cannot_be_drawn(monkeypatch):
    with pytest.raises(UserError, match="at least 5 vectors to draw, found 4"):
        flatten(np.ones((4, 3)))
    with pytest.raises(UserError, match="ends with .png"):
        check_plot("voices.txt")
    monkeypatch.setattr("evc2.convert.voice_map.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install scikit-learn"):
        flatten(np.ones((5, 3)))


def test_colours_of_24_speakers_differ():
    found = np.array(colours(24))
    distances = np.abs(found[:, None] - found[None]).max(axis=2) + np.eye(24)
    assert distances.min() > 0.1 and 0 <= found.min() and found.max() <= 1


@pytest.mark.parametrize("genders", [None, {f"s{s}": "fm"[s % 2] for s in range(6)}])
def test_picture(tmp_path, genders):
    by_utt, owners, by_speaker = clusters()
    plot_voices(tmp_path / "voices.png", by_utt, by_speaker, owners, genders)
    assert (tmp_path / "voices.png").read_bytes().startswith(b"\x89PNG")
    plot_voices(tmp_path / "means.svg", {}, by_speaker, owners, genders)
    text = (tmp_path / "means.svg").read_text()
    assert "<!-- s0 -->" in text and ("<!-- female -->" in text) == (genders is not None)
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["means.svg", "voices.png"]


def test_a_mean_is_drawn_among_its_utterances():
    by_utt, owners, by_speaker = clusters()
    axes = figure({utt: 9.0 * vector for utt, vector in by_utt.items()}, by_speaker, owners).axes[0]
    places = [np.asarray(drawn.get_offsets()) for drawn in axes.collections]
    points, means = places[::2], np.concatenate(places[1::2])
    for number, own in enumerate(points):
        assert np.linalg.norm(means - own.mean(axis=0), axis=1).argmin() == number
