"""An interrupted evaluation goes on where it was, and its tables are those of one that was not interrupted."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from evc2.bin.evaluate import main
from evc2.errors import UserError
from evc2.evaluate import partial as partial_module
from evc2.evaluate import score as score_module
from evc2.evaluate.partial import Partial, key_of, what_decides
from evc2.evaluate.registry import get_metric
from evc2.evaluate.score import Clip, Job, Row, score
from evc2.evaluate.settings import Settings
from evc2.fileio.audio import write_audio

METRICS = get_metric(["mcd", "lf0_rmse", "fd_mel", "rate"])
COMMAND = ["--metrics", "mcd,gv,mcd_gv,fd_mel,distance_to_source,lf0_rmse,ddur,rate", "--bootstrap", "200"]


@pytest.fixture
def wavs(tmp_path, speech):
    def put(name, base=140.0):
        write_audio(tmp_path / name, speech.voice(0.4, base=base), 16000)
        return Clip(str(tmp_path / name))

    return put


@pytest.fixture
def jobs(wavs):
    """Three trials of two systems."""
    source, reference = wavs("source.wav", 120), wavs("reference.wav", 180)
    return [
        Job(f"t{k}", "s", "angry", "neutral", {"a": wavs(f"a{k}.wav", 150 + k), "b": wavs(f"b{k}.wav", 170 + k)},
            reference, source, text="words")
        for k in range(3)
    ]  # fmt: skip


@pytest.fixture
def scored(monkeypatch):
    """Names of the wavs that were scored, in their order."""
    calls = []
    real = score_module._score
    monkeypatch.setattr(
        score_module, "_score", lambda job, system, *a: (calls.append(system), real(job, system, *a))[1]
    )
    return calls


def same(a, b):
    """Whether two lists of rows are equal to the last bit."""
    for x, y in zip(a, b, strict=True):
        assert x.sums.keys() == y.sums.keys() and all(np.array_equal(x.sums[name], y.sums[name]) for name in x.sums)
        assert replace(x, sums={}) == replace(y, sums={})
    return True


def test_what_was_scored_is_taken_over(jobs, tmp_path, scored):
    whole = list(score(jobs, METRICS))
    assert scored == ["a", "b"] * 3
    first = Partial(tmp_path / "p", "x")
    rows = score(jobs, METRICS, partial=first)
    next(rows)  # one trial is scored, of both systems
    rows.close()
    again = Partial(tmp_path / "p", "x")
    assert len(again) == 2
    scored.clear()
    assert same(whole, list(score(jobs, METRICS, partial=again)))
    assert scored == ["a", "b"] * 2 and again.reused == 2
    assert len(Partial(tmp_path / "p", "x")) == 6 and len(Partial(tmp_path / "p", "x").rows(jobs[2])) == 2
    again.remove()
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("nj", [1, 2])
def test_another_system_or_trial_does_not_cost_the_others(jobs, tmp_path, scored, nj):
    list(score(jobs[:2], METRICS, partial=Partial(tmp_path / "p", "x")))
    more = [replace(job, converted={"new": jobs[0].reference, **job.converted}) for job in jobs]
    scored.clear()
    partial = Partial(tmp_path / "p", "x")
    found = list(score(more, METRICS, nj=nj, partial=partial))
    assert [row.system for row in found] == ["new", "a", "b"] * 3 and partial.reused == 4
    assert nj > 1 or scored == ["new", "new", "new", "a", "b"]
    partial.remove()
    assert not (tmp_path / "p").exists()
    assert same(found, list(score(more, METRICS)))


def test_torn_and_foreign_lines_are_as_if_they_were_not_there(jobs, tmp_path, scored):
    first = Partial(tmp_path / "p", "x")
    whole = list(score(jobs, METRICS, partial=first))
    (file,) = (tmp_path / "p").iterdir()
    lines = file.read_bytes().splitlines(keepends=True)
    middle = b'{"key": "k"}\n[1]\n\x00\xff\x00\n\n'
    for cut in (1, len(lines[-1]) // 2, len(lines[-1]) - 1):  # a byte, half a line, all but the end of the line
        file.write_bytes(lines[0] + middle + b"".join(lines[1:-1]) + lines[-1][:cut])
        scored.clear()
        again = Partial(tmp_path / "p", "x")
        assert len(again) == 5 and same(whole, list(score(jobs, METRICS, partial=again)))
        assert scored == ["b"]
        for path in set((tmp_path / "p").iterdir()) - {file}:
            path.unlink()


def test_the_key_names_all_that_decides(jobs, tmp_path, wavs):
    job = replace(jobs[0], target_voice=(wavs("v.wav"),), source_speaker="o")
    clip = job.converted["a"]
    key = key_of("x", job, clip)
    assert key == key_of("x", replace(job, converted={}, direction="elsewhere"), clip)  # no part of the scores
    others = [
        key_of("y", job, clip), key_of("x", job, job.converted["b"]), key_of("x", job, clip._replace(start=0.1)),
        *(key_of("x", replace(job, **change), clip) for change in (
            {"trial": "u"}, {"speaker": "z"}, {"emotion": "sad"}, {"source_emotion": "sad"}, {"source_speaker": "p"},
            {"text": "other words"}, {"reference": None}, {"reference": job.source, "source": job.reference},
            {"target_voice": ()}, {"target_voice": (), "origin_voice": job.target_voice}, {"problem": "p"},
        )),
    ]  # fmt: skip
    for changed in (clip, job.reference, job.source, job.target_voice[0]):
        before = os.stat(changed.entry)
        os.utime(changed.entry, ns=(before.st_atime_ns, before.st_mtime_ns + 1000))
        others.append(key_of("x", job, clip))
    os.truncate(clip.entry, 1000)
    others.append(key_of("x", job, clip))
    os.unlink(clip.entry)
    others.append(key_of("x", job, clip))
    assert len({key, *others}) == 1 + len(others)


def test_what_may_change_unseen_is_not_kept(jobs, tmp_path):
    pipe = Clip(f"cat {jobs[0].converted['a'].entry} |")
    assert key_of("x", jobs[0], pipe) is None and key_of("x", jobs[0], None) is None
    assert key_of("x", replace(jobs[0], source=pipe), jobs[0].converted["a"]) is None
    broken = replace(jobs[0], converted={"gone": Clip("no.wav"), "none": None, "pipe": pipe})
    rows = list(score([broken], METRICS, partial=Partial(tmp_path / "p", "x")))
    assert [row.problem is None for row in rows] == [False, False, True]
    assert not (tmp_path / "p").exists()  # what failed is tried again


def test_settings_models_and_code_decide(tmp_path, monkeypatch):
    judge, asr = tmp_path / "judge", tmp_path / "asr"
    for folder in (judge, asr):
        (folder / "below").mkdir(parents=True)
        (folder / "below" / "weights").write_text("1")
    base = Settings(str(asr), "en", (str(judge),))
    found = [
        what_decides(["mcd"], base, "dio"), what_decides(["mcd", "gv"], base, "dio"),
        what_decides(["mcd"], base, "harvest"), what_decides(["mcd"], replace(base, language="de"), "dio"),
        what_decides(["mcd"], replace(base, judges=()), "dio"),
        what_decides(["mcd"], replace(base, asr_model="b"), "dio"),
    ]  # fmt: skip
    assert found[0] == what_decides(["mcd"], replace(base, download=False), "dio")
    for folder in (judge, asr):
        (folder / "below" / "weights").write_text("22")
        found.append(what_decides(["mcd"], base, "dio"))
    monkeypatch.setenv("EVC2_UTMOS", "file.pt")
    found.append(what_decides(["mcd"], base, "dio"))
    monkeypatch.setattr(partial_module, "_code", lambda: "mended")
    found.append(what_decides(["mcd"], base, "dio"))
    assert len(set(found)) == len(found)


def test_statistics_of_sets_come_back_to_the_last_bit(jobs, tmp_path):
    partial = Partial(tmp_path / "p", "x")
    sums = {"k": np.array([[1 / 3, -0.0], [1e300, 5e-324]])}
    row = Row("a", "t0", "s", "neutral", "angry", {"m": 0.1 + 0.2, "n": None}, None, ("clipped",), sums, {"m": 1 / 7})
    partial.writer.write(partial.writer.keys(jobs[0])["a"], row)
    found = Partial(tmp_path / "p", "x").rows(jobs[0])["a"]
    assert same([row], [found]) and np.signbit(found.sums["k"][0, 1])


def words(corpus, out, nj):
    found = ["--trials", str(corpus / "trials"), "--data_dir", str(corpus / "data"), "--out", str(out), "--nj", str(nj)]
    for name in ("good", "f0", "analysis_synthesis"):
        found += ["--system", f"{name}={corpus / name}.scp"]
    return [*found, "--system", "zero_effort=@source", *COMMAND]


def tables(folder):
    """All that was written, without date and command."""
    text = (folder / "RESULTS.md").read_text()
    scores = json.loads((folder / "scores.json").read_text())
    for name in ("date", "command"):
        text = re.sub(rf"^- {name}: .*$", "", text, flags=re.MULTILINE)
        scores["about"].pop(name)
    return text, scores, (folder / "scores.tsv").read_bytes()


def finished_items(folder):
    return sum(path.read_bytes().count(b"\n") for path in (folder / ".partial").glob("*.jsonl"))


@pytest.mark.parametrize("nj", [1, 2])
def test_killed_in_the_middle(corpus, tmp_path, capsys, nj):
    main(words(corpus, tmp_path / "whole", nj))
    out = tmp_path / "out"
    killed = subprocess.Popen(
        [sys.executable, "-m", "evc2.bin.evaluate", *words(corpus, out, nj)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while finished_items(out) < 6 and time.monotonic() < deadline:
            assert killed.poll() is None, "it ended before it could be killed"
            time.sleep(0.005)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    assert not (out / "RESULTS.md").exists() and not (out / "scores.tsv").exists()
    ended = time.monotonic() + 20
    while group_lives(killed.pid) and time.monotonic() < ended:
        time.sleep(0.05)
    assert not group_lives(killed.pid), "its processes outlive it"
    kept = finished_items(out)
    assert 6 <= kept < 48
    capsys.readouterr()
    main(words(corpus, out, nj))
    said = capsys.readouterr().err
    assert f".partial: {kept} scores of an interrupted evaluation" in said
    assert f", {kept} of them scored before an interruption" in said
    assert tables(out) == tables(tmp_path / "whole")
    assert sorted(path.name for path in out.iterdir() if not path.name.startswith(".scores.")) == [
        "RESULTS.md", "report.html", "scores.json", "scores.tsv",
    ]  # fmt: skip


def group_lives(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_error_keeps_what_was_scored_and_wrong_options_leave_nothing(corpus, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    with pytest.raises(UserError):
        main([*words(corpus, out, 1), "--metrics", "mdc"])
    assert not out.exists()
    with monkeypatch.context() as patch:
        patch.setattr("evc2.evaluate.evaluate.results_markdown", lambda *a: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            main(words(corpus, out, 1))
    assert finished_items(out) == 48
    shutil.rmtree(tmp_path / "out" / ".partial")
    main(words(corpus, out, 1))
    assert "interrupt" not in capsys.readouterr().err
    assert not (out / ".partial").exists()
