import numpy as np
import pytest

from evc2.errors import UserError
from evc2.evaluate import score as score_module
from evc2.evaluate.registry import Metric, get_metric
from evc2.evaluate.score import KEPT, Clip, Job, Wavs, score
from evc2.fileio.audio import write_audio

METRICS = [m for m in get_metric() if m.group in ("spectrum", "prosody") and m.combine is None]


@pytest.fixture
def wavs(tmp_path, speech):
    """Write signals and give their clips."""

    def put(name, wav, rate=16000, subtype="PCM_16"):
        write_audio(tmp_path / name, np.asarray(wav, dtype=np.float32), rate, subtype)
        return Clip(str(tmp_path / name))

    return put


def rows_of(job, metrics=METRICS, **options):
    return {row.system: row for row in score([job], metrics, **options)}


def test_bad_wavs_are_reported_and_the_rest_is_scored(wavs, tmp_path, speech):
    good = wavs("good.wav", speech.voice())
    (tmp_path / "text.wav").write_text("not audio")
    nan = speech.voice()
    nan[100] = np.nan
    import soundfile

    soundfile.write(tmp_path / "nan.wav", nan, 16000, subtype="FLOAT")
    systems = {
        "good": good,
        "none": None,
        "gone": Clip(str(tmp_path / "gone.wav")),
        "silent": wavs("silent.wav", np.zeros(16000)),
        "short": wavs("short.wav", speech.voice()[:800]),
        "empty": wavs("empty.wav", np.zeros(0)),
        "text": Clip(str(tmp_path / "text.wav")),
        "nan": Clip(str(tmp_path / "nan.wav")),
        "last": good,
    }
    rows = rows_of(Job("t", "s1", "angry", "neutral", systems, good, good))
    wanted = {
        "none": "no wav", "gone": "gone.wav", "silent": "silent", "short": "shorter", "empty": "empty",
        "text": "text.wav", "nan": "NaN",
    }  # fmt: skip
    for name, words in wanted.items():
        assert words in rows[name].problem, name
        assert set(rows[name].values.values()) == {None}
    for name in ("good", "last"):
        assert rows[name].problem is None and rows[name].values["mcd"] == pytest.approx(0, abs=1e-6)


def test_without_reference_only_what_needs_none(wavs, speech):
    clip = wavs("a.wav", speech.voice())
    row = rows_of(Job("t", "s1", "angry", "neutral", {"x": clip}, None, clip))["x"]
    assert row.problem is None
    assert {name for name, value in row.values.items() if value is not None} == {"distance_to_source", "rate"}
    row = rows_of(Job("t", "s1", "angry", None, {"x": clip}, clip, None))["x"]
    assert row.values["distance_to_source"] is None and row.values["mcd"] == pytest.approx(0, abs=1e-6)


def test_a_broken_reference_is_a_problem_but_costs_only_what_needs_it(wavs, speech, tmp_path):
    clip = wavs("a.wav", speech.voice())
    row = rows_of(Job("t", "s1", "angry", "neutral", {"x": clip}, Clip(str(tmp_path / "no.wav")), clip))["x"]
    assert "reference" in row.problem and "no.wav" in row.problem
    assert row.values["mcd"] is None and row.values["distance_to_source"] == pytest.approx(0, abs=1e-6)
    row = rows_of(Job("t", "s1", "angry", "neutral", {"x": clip}, None, clip, problem="reference u is not there"))["x"]
    assert "reference u" in row.problem


@pytest.mark.parametrize("rate", [48000, 22050, 44100])
def test_other_rates_score_as_the_same_signal(wavs, speech, rate):
    import soxr

    reference = wavs("a.wav", speech.voice())
    other = wavs("b.wav", soxr.resample(speech.voice(), 16000, rate), rate)
    row = rows_of(Job("t", "s1", "angry", "neutral", {"x": other}, reference, reference))["x"]
    assert row.problem is None and row.notes == ()
    # The band just below 8 kHz is lost by resampling; all else is as it was.
    assert row.values["mcd"] < 0.8 and row.values["distance_to_source"] < 0.8
    assert row.values["ddur"] <= 0.005 and row.values["lf0_rmse"] < 0.01


def test_low_rate_and_clipping_are_scored_and_noted(wavs, speech):
    import soxr

    reference = wavs("a.wav", speech.voice())
    low = wavs("low.wav", soxr.resample(speech.voice(), 16000, 8000), 8000)
    loud = wavs("loud.wav", np.clip(20 * speech.voice(), -1, 1))
    rows = rows_of(Job("t", "s1", "angry", "neutral", {"low": low, "loud": loud}, reference))
    assert "8000 Hz" in rows["low"].notes[0] and rows["low"].values["mcd"] > 1
    assert rows["loud"].notes == ("clipped",) and rows["loud"].values["mcd"] > 0
    assert rows["low"].problem is None and rows["loud"].problem is None


def test_an_utterance_of_a_segment(wavs, speech):
    wav = speech.voice(silence=0.5)
    whole = wavs("whole.wav", np.concatenate([wav, speech.voice(vowels="u")]))
    part = Clip(whole.entry, 0.5, 1.4)
    alone = wavs("alone.wav", speech.voice())
    row = rows_of(Job("t", "s1", "angry", "neutral", {"x": alone}, part))["x"]
    assert row.values["mcd"] < 0.1


def test_a_metric_that_fails_or_gives_nan(wavs, speech):
    def bad(item):
        raise ValueError("no idea")

    words = {"unit": "", "better": None, "needs": ("wav",), "digits": 1, "doc": "", "source": "", "range": ""}
    metrics = [Metric("bad", function=bad, **words), Metric("nan", function=lambda item: float("nan"), **words)]
    metrics.append(Metric("one", function=lambda item: 1, **words))
    row = rows_of(Job("t", "s1", "angry", "neutral", {"x": wavs("a.wav", speech.voice())}), metrics)["x"]
    assert row.problem == "bad failed: no idea"
    assert row.values == {"bad": None, "nan": None, "one": 1.0}


def test_each_wav_is_analysed_once_and_few_are_kept(wavs, speech, monkeypatch):
    reads = []
    real = score_module.read_audio
    monkeypatch.setattr(score_module, "read_audio", lambda entry, **kw: (reads.append(entry), real(entry, **kw))[1])
    clip = wavs("a.wav", speech.voice(0.3))
    others = [wavs(f"{k}.wav", speech.voice(0.3, base=100 + k)) for k in range(KEPT + 4)]
    jobs = (Job(f"t{k}", "s", "angry", "neutral", {"x": o, "source": clip}, o, clip) for k, o in enumerate(others))
    assert len(list(score(jobs, METRICS))) == 2 * len(others)
    assert len(reads) == len(others) + 1
    kept = Wavs()
    for other in others:
        kept.get(other)
    assert len(kept._kept) == KEPT


def test_jobs_are_taken_as_they_are_needed(wavs, speech):
    clip = wavs("a.wav", speech.voice(0.3))
    taken = []

    def jobs():
        for k in range(100):
            taken.append(k)
            yield Job(f"t{k}", "s", "angry", "neutral", {"x": clip})

    rows = score(jobs(), METRICS)
    next(rows)
    assert len(taken) == 1


def test_two_processes_give_the_rows_of_one_in_the_same_order(wavs, speech):
    clips = [wavs(f"{k}.wav", speech.voice(0.3, base=100 + 20 * k)) for k in range(6)]
    jobs = [Job(f"t{k}", "s", "angry", "neutral", {"x": clips[k]}, clips[0], clips[1]) for k in (3, 1, 5, 2, 4, 0)]
    one, two = list(score(jobs, METRICS)), list(score(jobs, METRICS, nj=2))
    assert [row.trial for row in two] == [job.trial for job in jobs]
    for a, b in zip(one, two, strict=True):
        assert a.values == pytest.approx(b.values, abs=1e-9)


def test_nj_below_one():
    with pytest.raises(UserError, match="nj"):
        list(score([], METRICS, nj=0))
