import base64
import hashlib
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from evc2.evaluate.report import write_report
from evc2.evaluate.score import Clip
from evc2.fileio.audio import write_audio


@pytest.fixture
def audio(tmp_path, voice, hostile):
    def put(name, wav):
        write_audio(tmp_path / name, wav, 16000)
        return Clip(str(tmp_path / name))

    source = put("source.wav", voice(0.5))
    target = put("target.wav", voice(0.6, f0=200))
    return {"t1": {"source": source, "target": target, "zero_effort": source, hostile: put("x.wav", voice(0.5, f0=90))}}


def write(tmp_path, scores, audio, rows=(), chosen=("t1",)):
    path = tmp_path / "out" / "report.html"
    write_report(path, scores, rows, audio, chosen)
    return path.read_text(encoding="utf-8")


def row(system, **values):
    place = {"trial": "t1", "speaker": "s1", "source_emotion": "neutral", "emotion": "angry", "problem": ""}
    return {"system": system, **place, **values}


def test_names_are_escaped_everywhere(tmp_path, scores, audio, hostile):
    text = write(tmp_path, scores, audio, [row(hostile, mcd="7.5", problem=hostile)])
    assert hostile not in text and "<b>&" not in text
    found = json.loads(re.search(r'<script type="application/json" id="figures">(.*?)</script>', text, re.DOTALL)[1])
    assert found["systems"] == [["zero_effort", True], [hostile, False]]
    assert len(re.findall("{{data}}", text)) > 3  # part of a name, not a place to fill
    assert text.count("</script>") == 5


def test_policy_names_the_scripts_and_nothing_comes_from_outside(tmp_path, scores, audio):
    text = write(tmp_path, scores, audio)
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', text)[1].replace("&#x27;", "'")
    assert "default-src 'none'" in policy and "unsafe" not in policy
    for inline in re.findall(r"<(?:script|style)>(.*?)</(?:script|style)>", text, re.DOTALL):
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert set(re.findall(r'(?:src|href)="(\w+:|#)', text)) == {"data:", "#"}
    # Names of the SVG elements that scripts make are the only addresses.
    assert set(re.findall(r"https?://[^\"' )]+", text)) == {"http://www.w3.org/2000/svg"}
    assert " style=" not in text and not re.search(r"\son\w+=", text)


def test_equal_wavs_share_a_player(tmp_path, scores, audio):
    text = write(tmp_path, scores, audio)
    assert text.count("<audio ") == 3 and "source = zero_<wbr>effort" in text
    assert "0.50 s, F0 " in text and 'aria-label="target, trial t1"' in text


def test_wavs_that_cannot_be_read_say_why(tmp_path, scores, audio, hostile):
    write_audio(tmp_path / "silent.wav", np.zeros(16000), 16000)
    audio["t1"][hostile] = Clip(str(tmp_path / "silent.wav"))
    audio["t1"]["target"] = Clip(str(tmp_path / "gone.wav"))
    text = write(tmp_path, scores, audio)
    assert "silent.wav: silent" in text and "gone.wav: expected an audio file" in text
    assert text.count("<audio ") == 1
    del audio["t1"][hostile]
    assert "no wav for this trial" in write(tmp_path, scores, audio, [row(hostile, mcd="n/a")])
    assert write(tmp_path, scores, {}, chosen=["t9"]).count("<audio ") == 0


def test_parts_of_recordings(tmp_path, scores, audio):
    audio["t1"]["target"] = audio["t1"]["target"]._replace(start=0.1, stop=0.4)
    assert 'data-seconds="0.3000"' in write(tmp_path, scores, audio)


def test_scores_of_a_trial(tmp_path, scores, audio, hostile):
    rows = [row("zero_effort", mcd="9.12345", wer="n/a"), row(hostile, mcd="7", wer="inf", problem="clipped")]
    text = write(tmp_path, scores, audio, [*rows, {**rows[0], "trial": "other", "mcd": "8765"}])
    block = text[text.index("Scores of t1") :]
    assert "9.12<" in block and "7.00<" in block and ": clipped" in block and "8765" not in text
    assert "neutral \N{RIGHTWARDS ARROW} angry, s1" in text


def test_everything_that_a_reader_must_know(tmp_path, scores, audio):
    text = write(tmp_path, scores, audio)
    notes = ("by base.en", "needs weights", "and 10 more, see scores.tsv", "3 wavs clipped", "python -m x")
    facts = ("one value for a set of trials", "range 0 .., lower is better", "the source utterance, unchanged")
    for words in notes + facts:
        assert words in text, words


def test_sections_without_content_are_left_out(tmp_path, scores):
    empty = {**scores, "skipped_metrics": {}, "problems": [], "notes": [], "comparisons": []}
    text = write(tmp_path, empty, {}, chosen=())
    found = re.findall(r'<section id="(\w+)"', text)
    assert found == ["means", "bars", "reading", "metrics"]
    assert [name for name in re.findall(r'<a href="#(\w+)">', text) if name != "content"] == found


def test_scores_of_an_older_version_do(tmp_path, scores):
    for key in ("baselines", "confusions", "skipped_metrics"):
        del scores[key]
    assert "<table" in write(tmp_path, scores, {}, chosen=())


def test_a_failure_leaves_the_page_of_before(tmp_path, scores, audio):
    before = write(tmp_path, scores, audio)
    scores["summaries"][0]["mean"] = float("nan")
    with pytest.raises(ValueError):
        write(tmp_path, scores, audio)
    assert (tmp_path / "out" / "report.html").read_text(encoding="utf-8") == before
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.html"]


def test_no_torch():
    code = "import sys, evc2.evaluate.report; assert not {'torch', 'matplotlib', 'librosa'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
