"""The folder of a test: complete, and silent about what is behind an item."""

import json
import re

import numpy as np
import pytest
import soundfile

from evc2.errors import UserError
from evc2.feats.trim import speech_bounds
from evc2.fileio.audio import write_audio
from evc2.listening.recordings import LEVEL_DB, PEAK, equalise


def test_nothing_public_tells_the_system(made):
    secrets = {"good", "buzz", "scored", "expect", "spk0", "to-angry", "@source", "seed"}
    for file in made.folder.glob("*.*"):
        text = file.read_text()
        if file.suffix in (".json", ".html"):
            assert not [word for word in secrets if re.search(rf"\b{re.escape(word)}\b", text)], file.name
        assert str(made.folder.parent) not in text and '"role"' not in text
    audio = sorted(path.name for path in (made.folder / "audio").iterdir())
    assert audio == sorted(a.split("/")[1] for item in made.test.items.values() for a in item["audio"])
    assert all(re.fullmatch(r"[0-9a-f]{16}[abc]\.wav", name) for name in audio)
    infos = {(i.samplerate, i.channels, i.subtype) for i in map(soundfile.info, (made.folder / "audio").iterdir())}
    assert infos == {(16000, 1, "PCM_16")}


def test_recordings_are_those_of_the_key(made):
    for name, entry in made.key["items"].items():
        for audio, source in zip(made.test.items[name]["audio"], entry["clips"], strict=True):
            found, expected = soundfile.read(made.folder / audio)[0], soundfile.read(source)[0]
            np.testing.assert_array_equal(found, expected)  # the level too: it is part of emotion


def test_settings_are_declared(made):
    assert made.test.content["settings"] == {
        "per_listener": 4, "attention_checks": 1, "practice": 2, "rate": 16000, "loudness_equalised": False,
    }  # fmt: skip
    page = (made.folder / "index.html").read_text()
    embedded = re.search(r'<script type="application/json" id="test">(.*)</script>', page)[1]
    assert json.loads(embedded) == made.test.content
    assert (made.folder / "private").stat().st_mode & 0o77 == 0


def test_texts_of_the_organiser_are_no_markup(listening_corpus, tmp_path, load):
    consent = tmp_path / "consent.txt"
    consent.write_text("First <b>paragraph</b>,\nstill.\n\n</script><script>alert(1)</script>\n")
    made = load.make(listening_corpus, tmp_path / "t", "--consent", str(consent), "--title", "a<i>b", "--tests", "mos")
    page = (made.folder / "index.html").read_text()
    assert made.test.content["consent"][0] == "First <b>paragraph</b>, still."
    assert "<script>alert" not in page and "<i>" not in page and "a&lt;i&gt;b" in page


def test_equalised_levels(listening_corpus, tmp_path, load):
    made = load.make(listening_corpus, tmp_path / "t", "--normalize", "true", "--tests", "mos")
    for path in (made.folder / "audio").iterdir():
        wav, rate = soundfile.read(path)
        first, last = speech_bounds(wav, rate)
        assert 10 * np.log10(np.mean(wav[first:last] ** 2)) == pytest.approx(LEVEL_DB, abs=0.1)
    click = np.zeros(16000)
    click[8000] = 0.5
    wav, limited = equalise(click, 16000)
    assert limited and np.abs(wav).max() == pytest.approx(PEAK)


def test_one_rate_for_all(listening_corpus, tmp_path, load):
    made = load.make(listening_corpus, tmp_path / "t", "--rate", "22050", "--tests", "mos")
    assert {soundfile.info(path).samplerate for path in (made.folder / "audio").iterdir()} == {22050}


def test_a_folder_in_use_is_not_written_over(made, listening_corpus, load):
    with pytest.raises(UserError, match="expected a new or empty folder"):
        load.make(listening_corpus, made.folder)


def test_a_silent_recording_leaves_no_folder(tmp_path, load):
    (tmp_path / "c").mkdir()
    corpus = load.write_corpus(tmp_path / "c")
    write_audio(corpus / "wav" / "good-spk0-0-to-angry.wav", np.zeros(4000), 16000)
    with pytest.raises(UserError, match="good-spk0-0-to-angry.wav: silent; nobody could rate it"):
        load.make(corpus, tmp_path / "t")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c"]
