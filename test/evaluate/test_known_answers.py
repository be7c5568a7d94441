"""Every registered metric that can be used here, on signals whose score is known."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import soxr

from evc2.evaluate.analysis import evaluation_contract
from evc2.evaluate.registry import all_metrics
from evc2.evaluate.score import Clip, Job, score
from evc2.evaluate.settings import settings, use
from evc2.feats import world
from evc2.feats.distance import dtw_path_of_cost
from evc2.fileio.audio import write_audio

ALL = list(all_metrics())
CONTRACT = evaluation_contract()
SET = 10
"""Trials of a set: as many as the metrics of sets want."""

IDENTICAL = {
    "mcd": 0, "mcd_nodtw": 0, "mcd_gv": 0, "gv": 1, "lf0_rmse": 0, "lf0_corr": 1, "vuv": 0, "energy_corr": 1, "ddur": 0,
    "rate_ratio": 1, "spk_sim": 1, "spk_sim_source": 1, "fd_mel": 0, "fd_spk": 0, "distance_to_source": 0,
}  # fmt: skip
FINITE = ("mcd", "mcd_nodtw", "mcd_gv", "gv", "vuv", "ddur", "rate", "fd_mel", "distance_to_source")
"""Defined for any pair of signals that are long enough."""


@pytest.fixture(autouse=True)
def nothing_is_fetched():
    before = settings()
    use(replace(before, download=False))
    yield
    use(before)


def usable(name):
    """The metric, or a skipped test."""
    metric = all_metrics()[name]
    why = metric.missing()
    if why is not None:
        pytest.skip(why)
    return metric


def value(name, items):
    """A metric of a set on all items, any other as the mean over those that have a value; None where none has."""
    metric = usable(name)
    found = [metric.function(one) for one in items if all(one.has(need) for need in metric.needs)]
    found = [one for one in found if one is not None]
    if metric.combine is not None:
        return metric.combine(sum(found)) if found else None
    return float(np.mean(found)) if found else None


def syllables(voice, count=5, base=140.0, seconds=1.0):
    """A voice that swells and fades `count` times: float32 [n] at 16 kHz."""
    wav = voice(seconds, base, "aiuai"[:count])
    t = np.arange(len(wav)) / len(wav)
    return (wav * (0.03 + 0.97 * np.sin(np.pi * count * t) ** 2)).astype(np.float32)


def world_copy(wav, ratio=1.0, stretch=1.0):
    """Analysis and synthesis by WORLD, F0 times `ratio`, duration times `stretch`."""
    found = world.analyze(wav, CONTRACT, with_envelope=True)
    frames = np.round(np.arange(round(len(found["f0"]) * stretch)) / stretch).astype(int)
    frames = np.minimum(frames, len(found["f0"]) - 1)
    f0 = ratio * found["f0"][frames].astype(np.float64)
    return world.synthesize(f0, found["sp"][frames], found["ap"][frames], CONTRACT)


@pytest.fixture(scope="module")
def wavs(speech):
    return [syllables(speech.voice, base=110 + 8 * k) for k in range(SET)]


@pytest.fixture(scope="module")
def identical(item, wavs):
    return [item(wav, wav.copy(), wav.copy()) for wav in wavs]


@pytest.fixture(scope="module")
def shifted(item, wavs):
    """A third (4 semitones) up, against the same voice resynthesised as it is."""
    made = []
    for wav in wavs:
        plain = world_copy(wav)
        made.append(item(world_copy(wav, ratio=2 ** (4 / 12)), plain, plain.copy()))
    return made


@pytest.fixture(scope="module")
def stretched(item, wavs):
    return [item(world_copy(wav, stretch=1.5), world_copy(wav), world_copy(wav)) for wav in wavs[:4]]


@pytest.fixture(scope="module")
def noisy(item, wavs):
    noise = 0.1 * np.random.default_rng(0).standard_normal((SET, 16000)).astype(np.float32)
    return [item(one, wav, wav.copy()) for one, wav in zip(noise, wavs, strict=True)]


@pytest.mark.parametrize("name", ALL)
def test_identical_signals(identical, name):
    found = value(name, identical)
    if name in IDENTICAL:
        assert found == pytest.approx(IDENTICAL[name], abs=1e-5)
    else:  # what needs a text, or knows no best value for a synthetic voice
        assert found is None or np.isfinite(found)


@pytest.mark.parametrize("name", ALL)
def test_noise_against_speech_is_bad_but_finite(noisy, name):
    found = value(name, noisy)
    assert found is None or np.isfinite(found)
    assert found is not None or name not in FINITE


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("mcd", 8, 60), ("mcd_nodtw", 8, 60), ("vuv", 60, 100), ("energy_corr", -1, 0.6), ("rate", 0, 1.5),
     ("rate_ratio", 0, 0.3), ("fd_mel", 100, 1e5), ("distance_to_source", 8, 60),
     ("spk_sim", -1, 0.75), ("spk_sim_source", -1, 0.75), ("fd_spk", 0.2, 4)],
)  # fmt: skip
def test_how_bad_noise_is(noisy, name, least, most):
    assert least <= value(name, noisy) <= most


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("lf0_rmse", 0.22, 0.245), ("lf0_corr", 0.9, 1), ("mcd", 0, 2.5), ("vuv", 0, 8), ("ddur", 0, 0.02),
     ("energy_corr", 0.95, 1), ("rate_ratio", 0.95, 1.05), ("distance_to_source", 0.3, 4), ("gv", 0.6, 1.4)],
)  # fmt: skip
def test_pitch_shifted_by_four_semitones(shifted, name, least, most):
    """ln 2^(4/12) = 0.231 nats; the envelope is the same, as far as other harmonics can sample it."""
    assert least <= value(name, shifted) <= most


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("ddur", 0.47, 0.53), ("mcd", 0, 2), ("mcd_nodtw", 3, 60), ("lf0_corr", 0.9, 1), ("lf0_rmse", 0, 0.05),
     ("energy_corr", 0.9, 1), ("rate_ratio", 0.63, 0.7), ("distance_to_source", 0, 2), ("gv", 0.85, 1.15)],
)  # fmt: skip
def test_stretched_by_a_half(stretched, name, least, most):
    assert least <= value(name, stretched) <= most


@pytest.mark.parametrize(
    ("name", "most"), [("mcd", 0.8), ("lf0_rmse", 0.03), ("vuv", 5), ("ddur", 0.04), ("distance_to_source", 0.8)]
)
def test_silence_at_the_end_is_no_difference(item, wavs, name, most):
    padded = np.pad(wavs[0], (0, 8000)) + 1e-6 * np.random.default_rng(0).standard_normal(24000).astype(np.float32)
    assert value(name, [item(padded, wavs[0], wavs[0])]) <= most


TOLERANCES = {
    "mcd": 0.7, "mcd_nodtw": 0.7, "mcd_gv": 0.7, "gv": 0.1, "lf0_rmse": 0.01, "lf0_corr": 0.02, "vuv": 3, "ddur": 0.006,
    "energy_corr": 0.01, "rate": 0.05, "rate_ratio": 0.01, "spk_sim": 0.03, "spk_sim_source": 0.03,
    "distance_to_source": 0.7,
}  # fmt: skip
BELOW_4_KHZ = ("lf0_rmse", "lf0_corr", "vuv", "ddur", "energy_corr", "rate", "rate_ratio")


@pytest.fixture(scope="module")
def by_rate(tmp_path_factory, speech):
    """Rate -> row of one signal stored at that rate, against the 16 kHz original; all in one job."""
    folder = tmp_path_factory.mktemp("rates")
    signal = syllables(speech.voice)
    metrics = [all_metrics()[name] for name in TOLERANCES if all_metrics()[name].missing() is None]
    clips = {}
    for rate in (8000, 16000, 22050, 24000, 44100, 48000):
        wav = signal if rate == 16000 else soxr.resample(signal, 16000, rate)
        write_audio(folder / f"{rate}.wav", wav, rate)
        clips[str(rate)] = Clip(str(folder / f"{rate}.wav"))
    job = Job("t", "s1", "angry", "neutral", clips, clips["16000"], clips["16000"])
    return {row.system: row for row in score([job], metrics)}


@pytest.mark.parametrize("name", TOLERANCES)
def test_the_rate_of_a_file_does_not_matter(by_rate, name):
    usable(name)
    base = by_rate["16000"].values[name]
    for rate, row in by_rate.items():
        assert row.problem is None
        if rate != "8000" or name in BELOW_4_KHZ:  # with half of the band gone, spectra do differ
            assert row.values[name] == pytest.approx(base, abs=TOLERANCES[name]), rate
    assert "8000 Hz" in by_rate["8000"].notes[0] and by_rate["48000"].notes == ()


def test_silence_is_a_problem_of_its_row_and_the_rest_is_scored(tmp_path, speech):
    write_audio(tmp_path / "good.wav", syllables(speech.voice), 16000)
    write_audio(tmp_path / "silent.wav", np.zeros(16000), 16000)
    good, silent = (Clip(str(tmp_path / name)) for name in ("good.wav", "silent.wav"))
    metrics = [metric for metric in all_metrics().values() if metric.missing() is None]
    job = Job("t", "s1", "angry", "neutral", {"silent": silent, "good": good}, good, good)
    rows = {row.system: row for row in score([job], metrics)}
    assert "silent" in rows["silent"].problem
    assert set(rows["silent"].values.values()) == {None} and not rows["silent"].sums
    assert rows["good"].problem is None and rows["good"].values["mcd"] == pytest.approx(0, abs=1e-6)
    # A silent reference costs what needs it, in all systems, and nothing else.
    row = next(iter(score([Job("t", "s1", "angry", "neutral", {"good": good}, silent, good)], metrics)))
    assert "reference" in row.problem and row.values["mcd"] is None and row.values["rate"] > 0


def every_path(n, m):
    """All monotonic paths from corner to corner."""

    def walk(path):
        i, j = path[-1]
        if (i, j) == (n - 1, m - 1):
            yield path
        for a, b in ((1, 0), (0, 1), (1, 1)):
            if i + a < n and j + b < m:
                yield from walk([*path, (i + a, j + b)])

    return walk([(0, 0)])


@pytest.mark.parametrize(("n", "m"), [*itertools.product((1, 2, 5), (1, 3, 4)), (6, 5)])
def test_dtw_against_every_path(n, m):
    cost = np.random.default_rng(10 * n + m).random((n, m))
    least = min(sum(cost[i, j] for i, j in path) for path in every_path(n, m))
    i, j = dtw_path_of_cost(cost)
    assert cost[i, j].sum() == pytest.approx(least)
