"""The format_wav command: what it writes, what it leaves out, and its jobs."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from evc2.bin.format_wav import main
from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.fileio.datadir import DataDir, read_table, validate, write_table

CONTRACT = str(Path(__file__).parents[2] / "egs/TEMPLATE/evc1/conf/feats_world.yaml")


def speech(seconds=1.0, rate=24000, silence=0.5, gain=0.5):
    """A tone between two silences with noise 80 dB down."""
    t = np.arange(int((seconds + 2 * silence) * rate)) / rate
    wav = gain * np.sin(2 * np.pi * 150 * t) * ((t >= silence) & (t < silence + seconds))
    return wav + 5e-5 * np.random.default_rng(0).standard_normal(len(t))


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """Ten utterances of two speakers at 24 kHz, one of them stereo, one behind a pipe."""
    monkeypatch.chdir(tmp_path)
    Path("raw").mkdir()
    data = Path("data/all")
    wavs = {}
    for number in range(10):
        utt = f"s{number // 5}-u{number % 5}"
        wav = speech(1.0 + 0.1 * number)
        soundfile.write(f"raw/{utt}.wav", np.stack([wav, wav], 1) if number == 3 else wav, 24000)
        wavs[utt] = f"cat raw/{utt}.wav |" if number == 4 else f"raw/{utt}.wav"
    write_table(data / "wav.scp", wavs)
    write_table(data / "utt2spk", {utt: utt[:2] for utt in wavs})
    write_table(data / "spk2utt", {s: " ".join(u for u in wavs if u.startswith(s)) for s in ("s0", "s1")})
    write_table(data / "utt2emo", dict.fromkeys(wavs, "neutral"))
    write_table(data / "utt2dur", dict.fromkeys(wavs, 2.0))
    (data / "trials").write_text("t0 s0-u0 s0 angry s0-u1\nt1 s1-u0 s1 angry s1-u1\n")
    return data


def run(data, *options, out="dump/all"):
    main(["--data_dir", str(data), "--contract", CONTRACT, "--out", out, *options])
    return DataDir(out)


def test_what_is_written(corpus, capsys):
    out = run(corpus)
    validate(out.path, need=("wav.scp", "utt2spk", "spk2utt", "utt2emo", "utt2num_samples", "utt2trim"))
    assert "10 utterances at 16000 Hz, 0 skipped" in capsys.readouterr().out
    assert out.utts == DataDir(corpus).utts
    for number, (utt, path) in enumerate(out.table("wav.scp").items()):
        assert path == f"dump/all/wav/{utt}.wav"
        info = soundfile.info(path)
        assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
        assert info.frames == int(out.table("utt2num_samples")[utt])
        assert info.duration == pytest.approx(1.0 + 0.1 * number + 0.1, abs=0.05), "silence is cut but for 50 ms"
        start, stop = map(float, out.table("utt2trim")[utt].split())
        assert stop - start == pytest.approx(info.duration, abs=1e-3) and 0.4 < start < 0.47
    wav = soundfile.read("dump/all/wav/s0-u3.wav")[0]
    assert np.abs(wav).max() == pytest.approx(0.5, abs=0.01)
    assert FeatureContract.load("dump/all/feats.yaml") == FeatureContract.load(CONTRACT)
    assert not out.has("utt2dur"), "durations from before trimming would be wrong"
    assert len((out.path / "trials").read_text().splitlines()) == 2
    assert (out.path / "skipped").read_text() == "" and not list(out.path.glob("split*"))


def test_no_trim(corpus):
    out = run(corpus, "--trim", "false")
    assert int(out.table("utt2num_samples")["s0-u0"]) == 32000


def test_snippets_are_kept_where_the_limit_says_so(corpus):
    for number, seconds in enumerate((0.019, 0.021, 0.095)):
        soundfile.write(f"raw/s1-u{number + 2}.wav", speech(seconds, silence=0.0), 24000)
    out = run(corpus, "--trim", "false", "--min_seconds", "0.02", "--max_bad", "0.2")
    assert (out.path / "skipped").read_text() == "s1-u2 shorter than 0.02 s\n"
    lengths = out.table("utt2num_samples")
    assert [int(lengths[f"s1-u{n}"]) for n in (3, 4)] == [336, 1520]
    with pytest.raises(UserError, match="3 of 10 utterances"):
        run(corpus, "--trim", "false", out="dump/usual")


def test_jobs_give_the_same(corpus):
    whole = run(corpus, out="dump/one")
    for job in "312":
        run(corpus, "--job", job, "--njobs", "3", out="dump/three")
    assert not Path("dump/three/wav.scp").exists()
    parts = run(corpus, "--njobs", "3", "--merge", "true", out="dump/three")
    for name in ("utt2num_samples", "utt2trim", "utt2spk", "utt2emo"):
        assert whole.table(name) == parts.table(name)
    for utt in whole.utts:
        names = (f"dump/{out}/wav/{utt}.wav" for out in ("one", "three"))
        assert np.array_equal(*(soundfile.read(name)[0] for name in names))


def test_names_are_on_the_disk_before_a_table_has_them(corpus, monkeypatch):
    synced = []

    def fsync(fd, real=os.fsync):
        path = Path(os.readlink(f"/proc/self/fd/{fd}"))
        synced.append((path.name, len(list(path.glob("[!.]*.wav")))) if path.is_dir() else (path.suffix, 0))
        real(fd)

    monkeypatch.setattr("os.fsync", fsync)
    run(corpus, "--job", "1", "--njobs", "2")
    assert synced.count((".wav", 0)) == 5, "each of the files"
    assert [entry for entry in synced if entry[0] == "wav"] == [("wav", 5)], "their folder once, with all of them"
    assert ("1", 0) not in synced[: synced.index(("wav", 5))], "and only then the tables' folder, split2/1"


def test_more_jobs_than_utterances(corpus):
    for job in range(1, 13):
        run(corpus, "--job", str(job), "--njobs", "12")
    assert len(run(corpus, "--njobs", "12", "--merge", "true").utts) == 10


def test_missing_job(corpus):
    run(corpus, "--job", "1", "--njobs", "2")
    with pytest.raises(UserError, match="job 2 of 2 has not been completed"):
        run(corpus, "--njobs", "2", "--merge", "true")
    assert not Path("dump/all/wav.scp").exists()


BAD = {
    "corrupt": (lambda path: path.write_bytes(b"RIFFxxxxWAVEjunk"), "cannot be read as audio"),
    "zero_bytes": (lambda path: path.write_bytes(b""), "cannot be read as audio"),
    "missing": (lambda path: path.unlink(), "expected an audio file, found nothing"),
    "empty": (lambda path: soundfile.write(path, np.zeros(0), 24000), "empty"),
    "short": (lambda path: soundfile.write(path, speech(0.05, silence=0), 24000), "shorter than 0.1 s"),
    "silent": (lambda path: soundfile.write(path, np.zeros(24000), 24000), "silent"),
    "nan": (lambda path: soundfile.write(path, np.full(24000, np.nan), 24000, subtype="FLOAT"), "NaN"),
    "clipped": (lambda path: soundfile.write(path, np.clip(speech(gain=5.0), -1, 1), 24000), "clipped: 43"),
}


@pytest.mark.parametrize("kind", list(BAD))
def test_bad_file(corpus, kind, capsys):
    """One bad file of ten: an error at 5 %, a warning and a line in `skipped` at 20 %."""
    damage, reason = BAD[kind]
    damage(Path("raw/s0-u1.wav"))
    with pytest.raises(UserError, match=rf"1 of 10 utterances cannot be used.*\n  s0-u1: .*{reason}"):
        run(corpus)
    assert not Path("dump/all/wav.scp").exists()
    out = run(corpus, "--max_bad", "0.2")
    assert "skipped 1 of 10 utterances" in capsys.readouterr().err
    assert list(read_table("dump/all/skipped")) == ["s0-u1"] and reason in read_table("dump/all/skipped")["s0-u1"]
    assert len(out.utts) == 9 and "s0-u1" not in out.table("utt2emo")
    assert (out.path / "trials").read_text() == "t1 s1-u0 s1 angry s1-u1\n"
    assert not Path("dump/all/wav/s0-u1.wav").exists()
    validate(out.path)


def test_all_bad_lists_ten(corpus):
    for path in Path("raw").iterdir():
        path.write_bytes(b"")
    Path("raw/s0-u0.wav").unlink()
    with pytest.raises(UserError) as error:
        run(corpus, "--max_bad", "1")
    assert str(error.value).count("\n  s") == 10


def test_lengths(corpus, capsys):
    out = run(corpus, "--max_seconds", "1.55")
    assert len(out.utts) == 5, "too long is no defect of the data and does not count as bad"
    assert "left out 5 utterances over --max_seconds" in capsys.readouterr().err
    with pytest.raises(UserError, match="all 10 utterances are longer"):
        run(corpus, "--max_seconds", "0.5")
    with pytest.raises(UserError, match="4 of 10 utterances cannot be used"):
        run(corpus, "--min_seconds", "1.45")


def test_segments(corpus):
    soundfile.write("raw/long.wav", np.concatenate([speech(1.0, silence=0.2), speech(0.5, silence=0.2)]), 24000)
    data = Path("data/cut")
    write_table(data / "wav.scp", {"rec": "raw/long.wav"})
    write_table(data / "segments", {"a-1": "rec 0 1.4", "a-2": "rec 1.4 -1"})
    write_table(data / "utt2spk", {"a-1": "a", "a-2": "a"})
    write_table(data / "reco2dur", {"rec": 2.3})
    out = run(data)
    durations = [int(n) / 16000 for n in out.table("utt2num_samples").values()]
    assert durations == pytest.approx([1.1, 0.6], abs=0.05)
    assert not out.has("segments") and not out.has("reco2dur")
    validate(out.path)


def test_another_contract(corpus, tmp_path):
    run(corpus)
    other = FeatureContract.load(CONTRACT).to_dict()
    FeatureContract.from_dict({**other, "order": 30}).save(tmp_path / "feats_x.yaml")
    with pytest.raises(UserError, match=r"order: 24 \(dump/all/feats.yaml\), 30"):
        main(["--data_dir", str(corpus), "--contract", str(tmp_path / "feats_x.yaml"), "--out", "dump/all"])


def test_new_audio_drops_old_features(corpus):
    out = run(corpus).path
    for name in ("feats.scp", "utt2num_frames"):
        write_table(out / name, {"s0-u0": "x"})
    run(corpus)
    assert not (out / "feats.scp").exists() and not (out / "utt2num_frames").exists()


def test_peaks_between_samples_are_not_clipped(corpus):
    """Full-scale samples of a tone at rate/4 with 45 degrees of phase: the wave between them is 3 dB higher."""
    t = np.arange(48000)
    wav = 0.99 * np.sqrt(2) * np.sin(np.pi / 2 * t + np.pi / 4) * 0.99
    soundfile.write("raw/s0-u0.wav", wav, 48000)
    run(corpus, "--trim", "false")
    out = soundfile.read("dump/all/wav/s0-u0.wav")[0]
    assert np.abs(out).max() < 0.9995


def test_loudness(corpus, capsys):
    """Nine tones at -9 dBFS, one 50 dB below, and another whose click leaves room for 20 dB."""
    soundfile.write("raw/s0-u0.wav", speech(1.0, silence=0, gain=0.5 * 10**-2.5), 24000, subtype="FLOAT")
    quiet = speech(1.0, rate=16000, silence=0, gain=0.5 * 10**-2.5)
    quiet[12000] = 0.0999
    soundfile.write("raw/s0-u1.wav", quiet, 16000, subtype="FLOAT")
    out = run(corpus, "--loudness", "-30", "--trim", "false")
    gains = out.table("utt2gain")
    assert float(gains["s0-u0"]) == pytest.approx(59.03 - 30, abs=0.1)
    assert float(gains["s0-u1"].split()[0]) == pytest.approx(20.0, abs=0.01) and gains["s0-u1"].endswith(" limited")
    assert {gains[utt] for utt in out.utts[2:]} == {"0.00"}
    assert "2 of 10 utterances were quieter and raised, 1 of them by less than asked" in capsys.readouterr().err
    wav = soundfile.read("dump/all/wav/s0-u0.wav")[0]
    assert 10 * np.log10(np.mean(wav**2)) == pytest.approx(-30, abs=0.1)
    assert np.abs(soundfile.read("dump/all/wav/s0-u1.wav")[0]).max() < 1.0
    validate(out.path)
    assert not run(corpus, "--trim", "false").has("utt2gain"), "a table of an earlier run with other options"


def test_pauses(corpus, capsys):
    long = np.concatenate([speech(1.0, silence=0.0), speech(0.0, silence=1.0), speech(1.0, silence=0.0)])
    soundfile.write("raw/s0-u0.wav", long, 24000)
    out = run(corpus, "--vad", "energy", "--max_seconds", "3", "--min_seconds", "1")
    assert 2.4 <= int(out.table("utt2num_samples")["s0-u0"]) / 16000 <= 2.6
    assert 1.4 <= float(out.table("utt2pauses")["s0-u0"]) <= 1.6
    assert {out.table("utt2pauses")[utt] for utt in out.utts[1:]} == {"0.000"}
    assert "of pauses out of 1 of 10 utterances" in capsys.readouterr().err
    validate(out.path)
    with pytest.raises(UserError, match=r"shorter than 2.2 s after"):
        run(corpus, "--vad", "energy", "--min_seconds", "2.2", "--max_bad", "0.1")


def test_wrong_options(corpus):
    for options, message in (
        (["--njobs", "2"], "needs --job"),
        (["--job", "3", "--njobs", "2"], "--job: expected 1 to --njobs 2"),
        (["--job", "1", "--merge", "true"], "leave out --job"),
        (["--out", str(corpus)], "source and destination"),
    ):
        with pytest.raises(UserError, match=message):
            run(corpus, *options)
    assert (corpus / "wav.scp").is_file()
