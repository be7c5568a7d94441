"""The command that writes speaker vectors, with an encoder of the test's own, and once with the real one."""

import numpy as np
import pytest
import yaml

from evc2.bin.extract_spembs import main
from evc2.convert import voices
from evc2.errors import UserError
from evc2.evaluate.speaker import speaker_missing
from evc2.fileio.ark import ScpReader
from evc2.fileio.audio import write_audio
from evc2.fileio.datadir import utts_by_speaker, write_table

needs_weights = pytest.mark.skipif(speaker_missing() is not None, reason=str(speaker_missing()))
SPEAKERS = {"f1": 220.0, "m1": 110.0, "m2": 150.0}


class Bands:
    """The share of eight bands: a vector that follows from the wav alone."""

    def embed(self, wav):
        power = np.abs(np.fft.rfft(wav)) ** 2
        return np.sqrt([part.sum() for part in np.array_split(power[: len(power) // 8], 8)])


@pytest.fixture
def bands(monkeypatch):
    monkeypatch.setattr(voices, "encoder", lambda kind, weights=None: Bands())


@pytest.fixture
def data(tmp_path, voice):
    """Three speakers with two emotions at 22,050 Hz."""
    wavs, spk, emo = {}, {}, {}
    for number, (speaker, f0) in enumerate(SPEAKERS.items()):
        for emotion, raised in (("angry", 1.3), ("neutral", 1.0)):
            utt, path = f"{speaker}-{emotion}", tmp_path / "audio" / f"{speaker}-{emotion}.wav"
            write_audio(path, voice(0.7, rate=22050, f0=raised * f0, seed=number), 22050)
            wavs[utt], spk[utt], emo[utt] = str(path), speaker, emotion
    tables = {"wav.scp": wavs, "utt2spk": spk, "utt2emo": emo, "spk2utt": utts_by_speaker(spk)}
    tables["spk2gender"] = {speaker: speaker[0] for speaker in SPEAKERS}
    for name, table in tables.items():
        write_table(tmp_path / "data" / name, table)
    return tmp_path / "data"


def run(data, out, *words):
    main(["--data_dir", str(data), "--out", str(out), *map(str, words)])
    return {
        name: dict(ScpReader(out / f"{name}.scp"))
        for name in ("spembs", "spk2spembs")
        if (out / f"{name}.scp").is_file()
    }


def same(a, b):
    assert sorted(a) == sorted(b)
    for key in a:
        np.testing.assert_array_equal(a[key], b[key])


def test_vectors_of_utterances_and_speakers(bands, data, tmp_path, capsys):
    found = run(data, tmp_path / "out", "--plot", tmp_path / "voices.png")
    assert sorted(found["spembs"]) == sorted(f"{s}-{e}" for s in SPEAKERS for e in ("angry", "neutral"))
    assert sorted(found["spk2spembs"]) == sorted(SPEAKERS)
    for table in found.values():
        for vector in table.values():
            assert vector.shape == (8,) and np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)
    mean = found["spembs"]["m1-angry"] + found["spembs"]["m1-neutral"]
    np.testing.assert_allclose(found["spk2spembs"]["m1"], mean / np.linalg.norm(mean), atol=1e-6)
    about = yaml.safe_load((tmp_path / "out" / "spembs.yaml").read_text())
    assert about == {"kind": "resemblyzer", "dim": 8, "rate": 16000}
    assert (tmp_path / "voices.png").stat().st_size > 10000
    assert "3 speakers, 6 utterances, 8 values" in capsys.readouterr().out
    assert sorted(p.suffix for p in (tmp_path / "out").iterdir()) == [".ark", ".ark", ".scp", ".scp", ".yaml"]


def test_vectors_stay_where_no_picture_can_be_drawn(bands, data, tmp_path, monkeypatch, capsys):
    picture, npy = tmp_path / "voices.png", tmp_path / "npy"
    npy.mkdir()
    for number, speaker in enumerate(SPEAKERS):  # three vectors, too few for t-SNE
        np.save(npy / f"{speaker}.npy", np.eye(4)[number])
    assert sorted(run(data, tmp_path / "few", "--kind", npy, "--plot", picture)["spk2spembs"]) == sorted(SPEAKERS)
    assert "at least 5 vectors to draw, found 3; the vectors are written" in capsys.readouterr().err
    monkeypatch.setattr("evc2.convert.voice_map.find_spec", lambda name: None)
    assert len(run(data, tmp_path / "out", "--plot", picture)["spembs"]) == 6
    assert "pip install scikit-learn; the vectors are written" in capsys.readouterr().err and not picture.exists()
    with pytest.raises(UserError, match="ends with .png"):  # said before anything is computed
        run(data, tmp_path / "wrong", "--plot", "voices.txt")
    assert not (tmp_path / "wrong").exists()


def test_jobs_give_the_same_as_one_run(bands, data, tmp_path):
    whole, out = run(data, tmp_path / "whole"), tmp_path / "jobs"
    for job in ("1", "3", "4"):
        assert run(data, out, "--job", job, "--njobs", "4") == {}
    with pytest.raises(UserError, match="2 of 6 utterances have no vector: f1-neutral, m1-angry; did all of 4 jobs"):
        run(data, out, "--njobs", "4", "--merge", "true")
    run(data, out, "--job", "2", "--njobs", "4")
    joined = run(data, out, "--njobs", "4", "--merge", "true")
    for name in whole:
        same(joined[name], whole[name])
    for job in range(1, 9):  # more jobs than utterances
        run(data, out, "--job", job, "--njobs", "8")
    same(run(data, out, "--njobs", "8", "--merge", "true")["spembs"], whole["spembs"])


def test_a_job_that_fails_leaves_no_vectors_of_a_run_before(bands, data, tmp_path):
    run(data, tmp_path / "out", "--job", "1", "--njobs", "1")
    write_audio(tmp_path / "audio" / "m1-angry.wav", np.zeros(22050), 22050)
    with pytest.raises(UserError, match="silent"):
        run(data, tmp_path / "out", "--job", "1", "--njobs", "1")
    with pytest.raises(UserError, match="6 of 6 utterances have no vector"):
        run(data, tmp_path / "out", "--njobs", "1", "--merge", "true")


def test_emotions_and_by(bands, data, tmp_path):
    found = run(data, tmp_path / "out")
    out = tmp_path / "neutral"
    neutral = run(data, out, "--emotions", "neutral")
    assert sorted(neutral["spembs"]) == [f"{speaker}-neutral" for speaker in sorted(SPEAKERS)]
    np.testing.assert_allclose(neutral["spk2spembs"]["f1"], found["spembs"]["f1-neutral"], atol=1e-6)
    # What an earlier run wrote and this one does not is gone.
    assert list(run(data, out, "--by", "speaker")) == ["spk2spembs"]
    assert list(run(data, out, "--by", "utterance")) == ["spembs"]
    with pytest.raises(UserError, match="3 of 6 utterances do not belong.*--by speaker"):
        run(data, data, "--emotions", "neutral")
    assert list(run(data, data, "--emotions", "neutral", "--by", "speaker")) == ["spk2spembs"]
    for words, message in (
        (["sad"], "expected an utterance of sad of every speaker, found none of f1, m1, m2"),
        (["neutrl"], "no 'neutrl'.*did you mean neutral"),
    ):
        with pytest.raises(UserError, match=message):
            run(data, out, "--emotions", *words)


def test_vectors_of_another_program(bands, data, tmp_path):
    computed = run(data, tmp_path / "out")
    folder = tmp_path / "npy"
    folder.mkdir()
    for number, speaker in enumerate([*SPEAKERS, "stranger"]):
        np.save(folder / f"{speaker}-spker_embed.npy", 3.0 * np.eye(4)[None, number])
    found = run(data, tmp_path / "given", "--kind", folder)
    assert list(found) == ["spk2spembs"] and sorted(found["spk2spembs"]) == sorted(SPEAKERS)
    assert found["spk2spembs"]["m1"].tolist() == [0.0, 1.0, 0.0, 0.0]
    about = yaml.safe_load((tmp_path / "given" / "spembs.yaml").read_text())
    assert about == {"kind": "file", "dim": 4, "rate": None}
    again = run(data, tmp_path / "again", "--kind", tmp_path / "out" / "spembs.scp")
    same(again["spembs"], computed["spembs"])
    np.testing.assert_allclose(again["spk2spembs"]["f1"], computed["spk2spembs"]["f1"], atol=1e-6)
    run(data, tmp_path / "again", "--kind", folder, "--job", "2", "--njobs", "2")  # a recipe need not know
    with pytest.raises(UserError, match="--by utterance needs one of every utterance"):
        run(data, tmp_path / "given", "--kind", folder, "--by", "utterance")
    (folder / "m2-spker_embed.npy").unlink()
    with pytest.raises(UserError, match="every speaker of .*found none of m2; it has f1, m1, stranger"):
        run(data, tmp_path / "given", "--kind", folder)


def test_mistakes(bands, data, tmp_path, voice):
    with pytest.raises(UserError, match="--kind resemblizer: expected resemblyzer, deepspeaker, or an existing file"):
        run(data, tmp_path / "out", "--kind", "resemblizer")
    with pytest.raises(UserError, match="--weights goes with"):
        run(data, tmp_path / "out", "--kind", data / "utt2spk", "--weights", "w.h5")
    write_audio(tmp_path / "audio" / "m1-angry.wav", np.zeros(22050), 22050)
    with pytest.raises(UserError, match="m1-angry: no voice .*silent"):
        run(data, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.*"))
    wavs = (data / "wav.scp").read_text().splitlines()
    (data / "wav.scp").write_text("\n".join(wavs[1:]) + "\n")
    with pytest.raises(UserError, match="wav.scp has no recording of f1-angry"):
        run(data, tmp_path / "out")


def test_weights_are_asked_for_before_audio_is_read(data, tmp_path):
    (data / "wav.scp").write_text((data / "wav.scp").read_text().replace("audio", "nowhere"))
    with pytest.raises(UserError, match="--weights FILE"):
        run(data, tmp_path / "out", "--kind", "deepspeaker")


@needs_weights
def test_the_real_encoder(data, tmp_path):
    found = run(data, tmp_path / "out", "--emotions", "neutral", "--by", "speaker")["spk2spembs"]
    assert {vector.shape for vector in found.values()} == {(256,)}
    assert found["m1"] @ found["f1"] < 0.95
