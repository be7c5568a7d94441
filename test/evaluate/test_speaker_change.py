"""Voice similarity without a reference: against recordings of both speakers."""

import json

import numpy as np
import pytest

from evc2.bin.evaluate import main
from evc2.errors import UserError
from evc2.evaluate import score as score_module
from evc2.evaluate import speaker, speaker_change
from evc2.evaluate.jobs import ENROLLED, make_jobs
from evc2.evaluate.registry import get_metric
from evc2.evaluate.score import Clip, Job, Wavs, score
from evc2.evaluate.scores import read_rows
from evc2.evaluate.speaker import cosine, embedding, speaker_missing
from evc2.fileio.audio import write_audio
from evc2.fileio.datadir import DataDir, Trial

needs_weights = pytest.mark.skipif(speaker_missing() is not None, reason=str(speaker_missing()))
TARGET, ORIGIN, CHANGED = METRICS = get_metric(["spk_sim_target", "spk_sim_origin", "spk_changed"])


@pytest.fixture
def vectors(item, speech, monkeypatch):
    """make(converted, target recordings, origin recordings): an Item whose voice embeddings are these vectors."""

    def make(converted, target, origin, source_speaker="s2"):
        one = item(speech.voice(0.2))
        one.source_speaker = source_speaker
        monkeypatch.setattr(speaker_change, "embedding", lambda x: np.array(converted, dtype=float))
        one.target_voice = lambda name, function: [np.array(v, dtype=float) for v in target]
        one.origin_voice = lambda name, function: [np.array(v, dtype=float) for v in origin]
        return one

    return make


def test_against_the_mean_of_each_speaker(vectors):
    one = vectors([1, 0], [[3, 1], [3, -1], [0, 0]], [[0, 2], [2, 0]])
    assert [m.function(one) for m in METRICS] == [pytest.approx(1), pytest.approx(np.sqrt(0.5)), 100]
    other = vectors([0, 1], [[3, 1], [3, -1], [0, 0]], [[0, 2], [2, 0]])
    assert [m.function(other) for m in METRICS] == [pytest.approx(0), pytest.approx(np.sqrt(0.5)), 0]


def test_a_voice_in_the_middle_is_not_changed(vectors):
    assert CHANGED.function(vectors([1, 1], [[1, 0]], [[0, 1]])) == 0


def test_speakers_without_other_recordings(vectors):
    one = vectors([1, 0], [[1, 0]], [])
    assert TARGET.function(one) == pytest.approx(1) and ORIGIN.function(one) is None and CHANGED.function(one) is None
    one = vectors([1, 0], [], [[1, 0]])
    assert TARGET.function(one) is None and ORIGIN.function(one) == pytest.approx(1) and CHANGED.function(one) is None


def test_natural_speech_is_the_source_against_its_own_speaker(vectors, monkeypatch):
    one = vectors([9, 9], [[0, 1]], [[2, 0], [2, 2]])
    one.source = "the source"
    monkeypatch.setattr(speaker_change, "embedding", {"the source": np.array([1.0, 0.0])}.__getitem__)
    assert TARGET.baseline(one) == pytest.approx(2 / np.sqrt(5)) and ORIGIN.baseline(one) == pytest.approx(0)
    assert CHANGED.baseline(one) == 100
    one.target_voice, one.origin_voice = one.origin_voice, one.target_voice
    assert CHANGED.baseline(one) == 0
    assert all("source" in metric.baseline_needs for metric in METRICS)


def test_only_where_the_speaker_changes(vectors):
    assert vectors([1], [[1]], [[1]]).has("other_speaker")
    for same in ("s1", None):  # the item aims at s1
        assert not vectors([1], [[1]], [[1]], source_speaker=same).has("other_speaker")


@pytest.fixture
def many(tmp_path):
    """A data dir of two speakers with 15 recordings each; the wavs do not exist."""
    rows = [(f"{speaker}-{k:02}", speaker) for speaker in ("a", "b") for k in range(15)]
    (tmp_path / "wav.scp").write_text("".join(f"{utt} {utt}.wav\n" for utt, _ in rows))
    (tmp_path / "utt2spk").write_text("".join(f"{utt} {speaker}\n" for utt, speaker in rows))
    return tmp_path


def jobs_of(folder, *trials):
    return list(make_jobs(trials, DataDir(folder), {"zero_effort": "@source"}))


def test_recordings_of_both_speakers_but_those_of_the_trial(many):
    trials = [Trial(f"a-{k:02}-to-b", f"a-{k:02}", "b", "neutral", f"b-{k:02}") for k in range(15)]
    jobs = jobs_of(many, *trials)
    for trial, job in zip(trials, jobs, strict=True):
        target, origin = ([clip.entry[:-4] for clip in voice] for voice in (job.target_voice, job.origin_voice))
        assert len(set(target)) == len(set(origin)) == ENROLLED == 10
        assert {name[0] for name in target} == {"b"} and {name[0] for name in origin} == {"a"}
        assert trial.reference not in target and trial.source not in origin
        assert job.direction == "a to b"
    assert jobs == jobs_of(many, *trials)  # nothing is drawn
    # A trial whose own recordings are not among the first ten has those; one where they are has the next.
    assert len({job.target_voice for job in jobs}) == 11
    first = {clip.entry for job in jobs for clip in job.target_voice}
    assert len(first) == 11 and first != {f"b-{k:02}.wav" for k in range(11)}  # spread, not the first by name


def test_no_recordings_where_the_speaker_stays(many):
    same, text, nobody = jobs_of(
        many,
        Trial("same", "a-00", "a", "angry"),
        Trial("text", "no-utterance", "b", "neutral"),
        Trial("nobody", "a-00", "c", "neutral"),
    )
    assert same.target_voice == same.origin_voice == text.target_voice == text.origin_voice == nobody.target_voice == ()
    assert same.direction.endswith("-> angry") and nobody.direction == "a to c" and len(nobody.origin_voice) == 10


def test_a_recording_with_two_ids_is_still_the_reference(many):
    table = (many / "wav.scp").read_text().replace("b-05 b-05.wav", "b-05 b-00.wav").replace("b-07.wav", "b-08.wav")
    (many / "wav.scp").write_text(table)
    found = jobs_of(many, *(Trial(f"t{k}", "a-00", "b", "neutral", "b-00") for k in range(1)))[0].target_voice
    assert "b-00.wav" not in {clip.entry for clip in found} and len(set(found)) == len(found) == 10


@needs_weights
def test_each_recording_is_embedded_once_for_all_trials(tmp_path, speech, monkeypatch):

    def put(name, base):
        write_audio(tmp_path / name, speech.voice(0.5, base=base), 16000)
        return Clip(str(tmp_path / name))

    low = tuple(put(f"low{k}.wav", 110 + k) for k in range(3))
    high = tuple(put(f"high{k}.wav", 220 + k) for k in range(12))
    (tmp_path / "broken.wav").write_text("no audio")
    jobs = [
        Job(f"t{k}", "high", "neutral", "neutral", {"zero_effort": low[0], "ideal": high[11]}, None, low[0],
            source_speaker="low", target_voice=(*high[:10], Clip(str(tmp_path / "broken.wav"))), origin_voice=low[1:])
        for k in range(3)
    ]  # fmt: skip
    calls, encoder = [], speaker._encoder()

    class Counting:
        def embed(self, wav):
            calls.append(len(wav))
            return encoder.embed(wav)

    monkeypatch.setattr(speaker, "_encoder", Counting)
    reads = []
    real = score_module.read_audio
    monkeypatch.setattr(score_module, "read_audio", lambda entry, **kw: (reads.append(entry), real(entry, **kw))[1])
    rows = list(score(jobs, METRICS))
    assert len(calls) == 10 + 2 + 2 and len(reads) == len(set(reads)) == 15
    assert all(row.problem is None for row in rows)  # the broken one is only left out
    wavs = Wavs()
    mean = np.mean([embedding(wavs.get(clip)[0]) for clip in high[:10]], axis=0)
    for row in rows:
        wanted = {"zero_effort": low[0], "ideal": high[11]}[row.system]
        expected = cosine(embedding(wavs.get(wanted)[0]), mean)
        assert row.values["spk_sim_target"] == pytest.approx(expected, abs=1e-9)
        assert row.values["spk_changed"] == (100 if row.system == "ideal" else 0)
        assert row.baselines["spk_changed"] == 100 and row.baselines["spk_sim_target"] > 0.9
        assert row.baselines["spk_sim_origin"] < row.baselines["spk_sim_target"]


@pytest.fixture(scope="module")
def voices(tmp_path_factory, speech):
    """A data dir of a low and a high voice, three neutral recordings each, and an angry and a sad one."""
    folder = tmp_path_factory.mktemp("voices")
    rows = {}
    for name, base in (("s1", 105.0), ("s2", 230.0)):
        for k, what in enumerate(("neutral-0", "neutral-1", "neutral-2", "angry-0", "sad-0")):
            utt = f"{name}-{what}"
            rows[utt] = folder / f"{utt}.wav"
            write_audio(rows[utt], speech.voice(0.5 + 0.04 * k, base=base + 4 * k), 16000)
    for name, value in (("wav.scp", lambda utt: rows[utt]), ("utt2spk", lambda utt: utt[:2]), ("text", lambda utt: "a"),
                        ("utt2emo", lambda utt: utt.split("-")[1])):  # fmt: skip
        (folder / name).write_text("".join(f"{utt} {value(utt)}\n" for utt in sorted(rows)))
    return folder


@pytest.fixture
def between(voices, tmp_path):
    """make(references): the command's words for trials from voice to voice, so many of them with a reference."""

    def make(references=0, more=()):
        lines = []
        for source, target in (("s1", "s2"), ("s2", "s1")):
            for k in range(3):
                utt = f"{source}-neutral-{k}"
                reference = f" {target}-neutral-{k}" if len(lines) < references else ""
                lines.append(f"{utt}-to-{target} {utt} {target} neutral{reference}")
        (tmp_path / "trials").write_text("".join(f"{line}\n" for line in sorted([*lines, *more])))
        wavs = {line.split()[0]: voices / f"{line.split()[2]}-neutral-0.wav" for line in [*lines, *more]}
        (tmp_path / "ideal.scp").write_text("".join(f"{name} {wavs[name]}\n" for name in sorted(wavs)))
        (tmp_path / "empty.scp").write_text("")
        return [
            "--trials", str(tmp_path / "trials"), "--data_dir", str(voices), "--out", str(tmp_path / "out"),
            "--bootstrap", "200", "--system", "natural=@reference", "--system", "zero_effort=@source",
            "--system", f"ideal={tmp_path / 'ideal.scp'}",
        ]  # fmt: skip

    return make


def results(tmp_path):
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    mean = {(c["direction"], c["system"], c["metric"]): c["mean"] for c in scores["summaries"]}
    return scores, mean, (tmp_path / "out" / "RESULTS.md").read_text()


SKIP = ["--skip_metrics", "dnsmos*,emo*,utmos,cer*,wer*"]


@needs_weights
def test_without_any_reference(between, tmp_path, capsys):
    main([*between(), "--system", f"analysis_synthesis={tmp_path / 'empty.scp'}", *SKIP])  # no error, and no status 3
    scores, mean, text = results(tmp_path)
    assert scores["systems"] == ["zero_effort", "ideal"]
    assert scores["trials"] == {"s1 to s2": 3, "s2 to s1": 3, "all": 6}
    assert "mcd" not in scores["metrics"] and scores["skipped_metrics"]["mcd"] == "no trial names a reference"
    assert list(scores["metrics"]) == [
        "distance_to_source", "rate", "spk_sim_source", "spk_sim_target", "spk_sim_origin", "spk_changed",
    ]  # fmt: skip
    for direction in ("s1 to s2", "s2 to s1", "all"):
        assert mean[direction, "zero_effort", "spk_changed"] == 0 and mean[direction, "ideal", "spk_changed"] == 100
        sims = [mean[direction, name, "spk_sim_target"] for name in ("zero_effort", "ideal")]
        assert sims[0] < sims[1] <= 1
    assert {c["metric"] for c in scores["comparisons"]} >= {"spk_sim_target", "spk_changed"}
    for part in ("## speaker s1 to s2 (3 trials)", "## speaker s2 to s1", "## all directions (6 trials)",
                 "- references: no trial names one; no row natural, analysis_synthesis, and no metric",
                 "- conversion: to another speaker (2 directions); the emotion stays", "0 of them with a reference",
                 "spk_changed difference (%)", "`spk_sim_target` of natural speech and its own speaker"):  # fmt: skip
        assert part in text, part
    assert " -> " not in text and "| natural" not in text
    assert "natural left out: no trial names a reference" in capsys.readouterr().err
    page = (tmp_path / "out" / "report.html").read_text()
    assert "speaker s1 to s2, neutral" in page and "to speaker" not in page
    found = {row["trial"]: row for row in read_rows(tmp_path / "out" / "scores.tsv")}
    assert found["s1-neutral-0-to-s2"]["source_speaker"] == "s1" and found["s1-neutral-0-to-s2"]["speaker"] == "s2"


@needs_weights
def test_with_some_references(between, tmp_path):
    main([*between(references=2), *SKIP, "--report", "false"])
    scores, mean, text = results(tmp_path)
    count = {(c["direction"], c["system"], c["metric"]): c["n"] for c in scores["summaries"]}
    assert count["s1 to s2", "natural", "mcd"] == 2 and count["s2 to s1", "natural", "mcd"] == 0
    assert count["all", "ideal", "mcd"] == 2 and count["all", "ideal", "spk_changed"] == 6
    assert "- references: 2 of 6 trials name one: rows made of references" in text and not scores["problems"]
    assert mean["s1 to s2", "natural", "spk_changed"] == 100  # and its own wav is not in the enrolment
    assert mean["s1 to s2", "natural", "spk_sim_target"] < 0.9999
    assert "both emotions" not in text.split("Metrics:")[0]  # a yardstick for one speaker only


@needs_weights
def test_processes_do_not_matter(between, tmp_path):
    found = []
    for nj in ("1", "2"):
        main([*between(3), *SKIP, "--report", "false", "--nj", nj, "--verbose", "0"])
        found.append((tmp_path / "out" / "scores.tsv").read_text())
    assert found[0] == found[1]


@needs_weights
def test_some_trials_change_the_emotion_instead(between, tmp_path):
    more = ("s1-a s1-neutral-0 s1 angry s1-angry-0", "s2-s s2-neutral-0 s2 sad s2-sad-0")
    metrics = "mcd,spk_sim,spk_sim_target,spk_changed"
    main([*between(6, more), "--metrics", metrics, "--report", "false"])
    scores, _, text = results(tmp_path)
    assert set(scores["trials"]) == {"neutral -> angry", "neutral -> sad", "s1 to s2", "s2 to s1", "all"}
    count = {(c["direction"], c["metric"]): c["n"] for c in scores["summaries"] if c["system"] == "ideal"}
    assert count["neutral -> angry", "spk_changed"] == 0 and count["s1 to s2", "spk_changed"] == 3
    of = {(b["direction"], b["metric"]) for b in scores["baselines"]}
    assert ("neutral -> angry", "spk_sim") in of and ("s1 to s2", "spk_sim") not in of
    assert "in 6 of 8 trials" in text


def test_where_no_trial_changes_the_speaker_nothing_is_said(corpus, tmp_path, capsys):
    words = ["--trials", str(corpus / "trials"), "--data_dir", str(corpus / "data"), "--out", str(tmp_path / "out")]
    words += ["--system", "zero_effort=@source", "--bootstrap", "200", "--report", "false"]
    main([*words, "--skip_metrics", "dnsmos*,cer*,wer*"])
    scores, _, text = results(tmp_path)
    assert "spk_sim" in scores["metrics"] or speaker_missing()
    assert "spk_changed" not in scores["metrics"] and "spk_changed" not in scores["skipped_metrics"]
    assert "spk_sim_target" not in text and "- references" not in text
    main([*words, "--metrics", "distance_to_source,spk_changed"])  # asked for: then it is said
    assert "spk_changed left out: no trial changes the speaker" in capsys.readouterr().err
    with pytest.raises(UserError, match="none of the metrics can be used here: no trial changes the speaker"):
        main([*words, "--metrics", "spk_changed"])


def test_what_cannot_be_evaluated_without_references(between, tmp_path):
    words = between()
    only = [word for word in words if "zero_effort" not in word and "ideal" not in word]
    only = [word for k, word in enumerate(only) if word != "--system" or only[k + 1 : k + 2] == ["natural=@reference"]]
    with pytest.raises(UserError, match="--system: natural: no trial names a reference; give another system"):
        main(only)
    with pytest.raises(UserError, match="none of the metrics can be used here: no trial names a reference"):
        main([*words, "--metrics", "mcd,lf0_rmse"])
    with pytest.raises(UserError, match=r"--compare_by: 'mcd' is not computed \(no trial names a reference\)"):
        main([*words, "--metrics", "mcd,distance_to_source", "--compare_by", "mcd"])
    assert not (tmp_path / "out").exists()
    main([*words, "--metrics", "distance_to_source", "--compare", "natural,zero_effort", "--report", "false"])


def test_a_target_speaker_without_recordings_is_warned_of(between, tmp_path, capsys):
    if speaker_missing():
        pytest.skip(speaker_missing())
    trial = "s1-neutral-0-to-s9 s1-neutral-0 s9 neutral"
    words = between(more=("s1-neutral-0-to-s2x s1-neutral-0 s2 neutral",))
    path = tmp_path / "trials"
    path.write_text(path.read_text().replace("s1-neutral-0-to-s2x s1-neutral-0 s2 neutral", trial))
    main([*words[:-2], "--metrics", "spk_sim_target,spk_sim_origin", "--report", "false"])
    assert "no recording of speaker s9" in capsys.readouterr().err
    row = next(r for r in read_rows(tmp_path / "out" / "scores.tsv") if r["speaker"] == "s9")
    assert row["spk_sim_target"] == "n/a" and float(row["spk_sim_origin"]) > 0.5 and row["problem"] == ""


def test_speakers_whom_the_data_lack_are_enrolled_from_another_folder(tmp_path):
    folders = {}
    for name, utts in (("test", {"a-1": "a", "a-2": "a"}), ("train", {"a-9": "a", "b-1": "b", "b-2": "b"})):
        folders[name] = tmp_path / name
        folders[name].mkdir()
        for table, value in (
            ("wav.scp", lambda u: f"{u}.wav"),
            ("utt2spk", utts.get),
            ("utt2emo", lambda u: "neutral"),
        ):
            (folders[name] / table).write_text("".join(f"{u} {value(u)}\n" for u in sorted(utts)))
    trials, where = [Trial("a-1-to-b", "a-1", "b", "neutral")], {"same": "@source"}
    (job,) = make_jobs(trials, DataDir(folders["test"]), where)
    assert [clip.entry for clip in job.origin_voice] == ["a-2.wav"] and job.target_voice == ()
    (job,) = make_jobs(trials, DataDir(folders["test"]), where, DataDir(folders["train"]))
    assert [clip.entry for clip in job.origin_voice] == ["a-2.wav"]  # the data's own come first
    assert sorted(clip.entry for clip in job.target_voice) == ["b-1.wav", "b-2.wav"]
