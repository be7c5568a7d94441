"""The voice encoder: equal to the package that its weights come from, and usable without that package's code."""

import numpy as np
import pytest
import torch

from evc2.errors import UserError
from evc2.evaluate.speaker import weights_path
from evc2.nets import ge2e

needs_weights = pytest.mark.skipif(weights_path() is None, reason="no weights: pip install --no-deps Resemblyzer")

KNOWN = {
    # Computed once with Resemblyzer 0.1.4 itself (embed_utterance after normalize_volume), on the signals of chirps().
    1.0: {130: 0.16983, 127: 0.18512, 9: 0.20341, 62: 0.2035, 119: 0.20826, 243: 0.26129, "sum": 8.97806},
    3.1: {243: 0.18057, 42: 0.18084, 127: 0.20561, 158: 0.22481, 246: 0.22969, 119: 0.2332, "sum": 8.68551},
}


def chirps(seconds, level=0.05):
    """Harmonics on a wavering pitch: [n] at 16 kHz."""
    t = np.arange(int(seconds * 16000)) / 16000
    phase = 2 * np.pi * (130 * t + 8 * np.sin(2 * np.pi * 2.5 * t))
    return level * sum(np.cos(k * phase) / k for k in range(1, 25)) * (1.2 + np.sin(2 * np.pi * 4 * t))


@pytest.fixture(scope="module")
def encoder():
    return ge2e.load(weights_path())


@needs_weights
@pytest.mark.parametrize("seconds", sorted(KNOWN))
def test_known_embeddings(encoder, seconds):
    found = encoder.embed(chirps(seconds))
    assert found.shape == (256,) and found.dtype == np.float32 and found.min() >= 0
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)
    known = dict(KNOWN[seconds])
    assert found.sum() == pytest.approx(known.pop("sum"), abs=2e-3)
    assert found[list(known)] == pytest.approx(list(known.values()), abs=1e-4)


@needs_weights
@pytest.mark.parametrize("seconds", [0.5, 1.0, 1.7, 2.37, 4.0])
@pytest.mark.parametrize("level", [0.0005, 0.2])
def test_equals_the_package(encoder, seconds, level):
    try:
        from resemblyzer.audio import normalize_volume
        from resemblyzer.voice_encoder import VoiceEncoder
    except ImportError as error:
        pytest.skip(f"Resemblyzer cannot be imported here ({error}); only its weights are: see test_known_embeddings")
    wav = normalize_volume(chirps(seconds, level), -30, increase_only=True).astype(np.float32)
    expected = VoiceEncoder("cpu", verbose=False).eval().embed_utterance(wav)
    np.testing.assert_allclose(encoder.embed(chirps(seconds, level)), expected, atol=2e-4)


def test_mel_equals_librosa():
    librosa = pytest.importorskip("librosa")
    wav = chirps(1.0)
    expected = librosa.feature.melspectrogram(y=wav, sr=16000, n_fft=400, hop_length=160, n_mels=40)
    np.testing.assert_allclose(ge2e.mel_power(wav), expected.T, rtol=1e-4, atol=1e-6)


def test_pieces_cover_the_signal():
    assert ge2e.piece_starts(100) == [0] and ge2e.piece_starts(25600) == [0]
    assert ge2e.piece_starts(49600) == [0, 77, 154]  # 3.1 s: the last piece is full
    one_more = (77 + 160) * 160  # the end of the second piece
    assert ge2e.piece_starts(one_more) == [0, 77]
    # Three quarters of a third piece are needed: 120 of 160 frames beyond frame 154.
    assert ge2e.piece_starts((154 + 119) * 160) == [0, 77]
    assert ge2e.piece_starts((154 + 120) * 160) == [0, 77, 154]


def test_level_is_raised_only():
    quiet, loud = 0.001 * np.ones(100), 0.5 * np.ones(100)
    assert np.sqrt(np.mean(ge2e.raise_level(quiet) ** 2)) == pytest.approx(10 ** (-30 / 20))
    assert np.array_equal(ge2e.raise_level(loud), loud)


@needs_weights
def test_level_and_length_hardly_change_a_voice(encoder):
    voice = encoder.embed(chirps(3.0))
    assert voice @ encoder.embed(0.001 * chirps(3.0)) > 0.9
    assert voice @ encoder.embed(chirps(6.0)) > 0.9
    noise = 0.1 * np.random.default_rng(0).standard_normal(48000)
    assert voice @ encoder.embed(noise) < 0.7


@pytest.mark.parametrize("wav", [np.zeros(16000), np.zeros(0), np.full(16000, np.nan)])
def test_nothing_to_embed(wav):
    with pytest.raises(ValueError, match="silent"):
        ge2e.VoiceEncoder().embed(wav)


def test_a_file_of_something_else(tmp_path):
    with pytest.raises(UserError, match="cannot read"):
        ge2e.load(tmp_path / "none.pt")
    torch.save({"model_state": {"linear.weight": torch.zeros(2, 2)}}, tmp_path / "other.pt")
    (tmp_path / "text.pt").write_text("not weights")
    for name in ("other.pt", "text.pt"):
        with pytest.raises(UserError, match=f"{name}.*pretrained.pt"):
            ge2e.load(tmp_path / name)


def test_weights_of_an_untrained_encoder_survive_the_file(tmp_path):
    torch.manual_seed(0)
    one = ge2e.VoiceEncoder()
    state = {**one.state_dict(), "similarity_weight": torch.ones(1), "similarity_bias": torch.zeros(1)}
    torch.save({"model_state": state, "step": 1}, tmp_path / "pretrained.pt")
    wav = chirps(0.5)
    np.testing.assert_array_equal(one.embed(wav), ge2e.load(tmp_path / "pretrained.pt").embed(wav))
