"""The extract_feats and stats commands, and what their start costs."""

import subprocess
import sys
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile

from evc2.bin import stats as stats_command
from evc2.bin.extract_feats import main
from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.feats.extract import extract
from evc2.feats.stats import Stats
from evc2.fileio.datadir import DataDir, validate, write_table

ROOT = Path(__file__).parents[2]
CONF = ROOT / "egs/TEMPLATE/evc1/conf"


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Five utterances: pulse trains with the pitch of their speaker (100 and 250 Hz)."""
    monkeypatch.chdir(tmp_path)
    path, wavs = Path("dump"), {}
    for number in range(5):
        utt = f"s{number % 2}-u{number}"
        wav = np.random.default_rng(number).standard_normal(6400 + 800 * number) * 1e-3
        wav[:: 160 - 96 * (number % 2)] += 0.5
        wavs[utt] = path / "wav" / f"{utt}.wav"
        wavs[utt].parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(wavs[utt], wav, 16000)
    write_table(path / "wav.scp", wavs)
    write_table(path / "utt2spk", {utt: utt[:2] for utt in wavs})
    write_table(path / "utt2emo", {utt: "sad" if utt == "s0-u4" else "neutral" for utt in wavs})
    return path


def run(data, *options, contract="feats_world.yaml"):
    main(["--data_dir", str(data), "--contract", str(CONF / contract), "--out", str(data), *options])


def test_whole(data, capsys):
    run(data)
    assert "features of 5 utterances, contract world_" in capsys.readouterr().out
    validate(data, need=("feats.scp", "f0.scp", "power.scp", "utt2num_frames"))
    contract = FeatureContract.load(data / "feats.yaml")
    feats, f0, power = (kaldiio.load_scp(str(data / f"{name}.scp")) for name in ("feats", "f0", "power"))
    for utt, frames in DataDir(data).table("utt2num_frames").items():
        wav = soundfile.read(data / "wav" / f"{utt}.wav")[0]
        expected = extract(wav.astype(np.float32), contract)
        assert feats[utt].shape == (int(frames), 24) == (len(wav) // 80 + 1, 24) and feats[utt].dtype == np.float32
        for found, name in ((feats, "feats"), (f0, "f0"), (power, "power")):
            np.testing.assert_array_equal(found[utt], expected[name])


def test_jobs_give_the_same(data):
    run(data)
    names = ("feats.scp", "f0.scp", "power.scp")
    whole = {name: dict(kaldiio.load_scp(str(data / name))) for name in names}
    for job in "21":
        run(data, "--job", job, "--njobs", "2")
        assert not (data / "feats.scp").exists()
    run(data, "--njobs", "2", "--merge", "true")
    for name in names:
        parts = kaldiio.load_scp(str(data / name))
        assert list(parts) == list(whole[name])
        assert all(np.array_equal(parts[utt], whole[name][utt]) for utt in parts)
    run(data)
    assert not (data / "arks/feats.2.ark").exists(), "arks of a run with more jobs go away"


def test_more_jobs_than_utterances(data):
    for job in range(1, 8):
        run(data, "--job", str(job), "--njobs", "7")
    run(data, "--njobs", "7", "--merge", "true")
    assert len(DataDir(data).table("feats.scp")) == 5


def test_mel(data):
    run(data, contract="feats_hifigan.yaml")
    feats = kaldiio.load_scp(str(data / "feats.scp"))
    samples = len(soundfile.read(data / "wav/s0-u0.wav")[0]) * 22050 / 16000
    assert feats["s0-u0"].shape == (int(samples / 256), 80), "audio of another rate is resampled"


def test_missing_job(data):
    run(data, "--job", "1", "--njobs", "2")
    with pytest.raises(UserError, match="job 2 of 2 has left no"):
        run(data, "--njobs", "2", "--merge", "true")


def test_parts_of_another_split(data):
    for job in "123":
        run(data, "--job", job, "--njobs", "3")
    with pytest.raises(UserError, match="expected the 5 utterances of dump, .* missing"):
        run(data, "--njobs", "2", "--merge", "true")
    assert not (data / "feats.scp").exists()


def test_truncated_ark(data):
    run(data, "--job", "1", "--njobs", "1")
    ark = data / "arks/f0.1.ark"
    ark.write_bytes(ark.read_bytes()[:-4])
    with pytest.raises(UserError, match=r"f0\.1\.ark.*'s1-u3'.*truncated"):
        run(data, "--njobs", "1", "--merge", "true")


def test_unreadable_audio_names_the_utterance(data):
    (data / "wav/s1-u1.wav").write_bytes(b"")
    with pytest.raises(UserError, match=r"s1-u1: .*s1-u1\.wav: cannot be read"):
        run(data)
    assert not list((data / "arks").glob("*.ark"))


def test_another_contract(data):
    run(data)
    with pytest.raises(UserError, match=r"kind: world \(dump/feats.yaml\), mel \(--contract\)"):
        run(data, contract="feats_hifigan.yaml")


def test_range_of_a_speaker(data):
    """A range that starts above the pitch of s1 makes it vanish; s0's stays."""
    write_table(data / "spk2f0range", {"s0": "71 400", "s1": "400 800"})
    run(data)
    f0 = kaldiio.load_scp(str(data / "f0.scp"))
    assert np.median(f0["s0-u0"]) == pytest.approx(100, rel=0.01)
    assert not ((f0["s1-u1"] > 245) & (f0["s1-u1"] < 255)).any()
    write_table(data / "ranges", {"s0": "71 400", "s1": "71 400"})
    run(data, "--spk2f0range", str(data / "ranges"))
    f0 = kaldiio.load_scp(str(data / "f0.scp"))
    assert np.median(f0["s1-u1"]) == pytest.approx(250, rel=0.01)
    write_table(data / "ranges", {"s0": "400 71"})
    with pytest.raises(UserError, match="s0: expected `speaker floor ceil`"):
        run(data, "--spk2f0range", str(data / "ranges"))


def test_stats(data, capsys):
    run(data)
    stats_command.main(["--data_dir", str(data), "--out", "stats.npz"])
    assert "2 speakers; emotions: neutral sad" in capsys.readouterr().out
    stats = Stats.load("stats.npz")
    feats = kaldiio.load_scp(str(data / "feats.scp"))
    np.testing.assert_allclose(stats.get("s0", "sad").feats_mean, feats["s0-u4"].mean(0), rtol=1e-4, atol=1e-5)
    assert np.exp(stats.get("s0").lf0_mean) == pytest.approx(100, rel=0.01)
    assert np.exp(stats.get("s1").lf0_mean) == pytest.approx(250, rel=0.01)
    assert stats.get().n_frames == sum(map(int, DataDir(data).table("utt2num_frames").values()))


def test_stats_of_other_contracts(data, tmp_path):
    run(data)
    other = tmp_path / "other"
    other.mkdir()
    for name in ("utt2spk", "utt2emo", "feats.scp"):
        (other / name).write_bytes((data / name).read_bytes())
    values = FeatureContract.load(data / "feats.yaml").to_dict()
    FeatureContract.from_dict({**values, "f0_ceil": 700}).save(other / "feats.yaml")
    with pytest.raises(UserError, match="f0_ceil"):
        stats_command.main(["--data_dir", str(data), str(other), "--out", "stats.npz"])
    assert not Path("stats.npz").exists()


def test_start_imports_nothing_heavy(data):
    """Extraction of WORLD features never loads torch, scipy, librosa or numba; --help not even numpy."""
    code = (
        "import sys; from evc2.bin import extract_feats as c;"
        "assert 'numpy' not in sys.modules;"
        f"c.main(['--data_dir', 'dump', '--contract', {str(CONF / 'feats_world.yaml')!r}, '--out', 'dump']);"
        "print([m for m in ('torch', 'scipy', 'librosa', 'numba') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin"}
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert "pkg_resources" not in done.stderr
