import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.fileio.audio import read_audio
from evc2.fileio.manifest import read_manifest

ROOT = Path(__file__).parents[2]


def run_toy(folder, *more):
    # A process of its own, as in the recipe: espeak's state goes from one sentence to the next.
    script = ROOT / "egs/toy/evc1/local/toy.py"
    command = [sys.executable, script, "--db_root", folder / "toy", "--manifest", folder / "m.tsv", *more]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, env=env, check=True, capture_output=True, timeout=60)


def digest(folder):
    files = sorted(folder.rglob("*.wav"))
    return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in files)).hexdigest()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    pytest.importorskip("espeakng_loader")
    folder = tmp_path_factory.mktemp("corpus")
    run_toy(folder)
    return folder


def test_manifest(corpus):
    rows = read_manifest(corpus / "m.tsv")
    assert len(rows) == 4 * 4 * 16
    assert len({row.speaker for row in rows}) == len({row.emotion for row in rows}) == 4
    numbers = {name: {row.sentence for row in rows if row.set == name} for name in ("train", "dev", "test")}
    assert [len(numbers[name]) for name in ("train", "dev", "test")] == [9, 2, 5]
    assert {row.speaker: row.gender for row in rows} == {"f1": "f", "f2": "f", "m1": "m", "m2": "m"}


def test_audio_is_usable_and_emotions_differ(corpus):
    loudness, tilt, length = {}, {}, {}
    for emotion in ("neutral", "sad", "angry"):
        waves = [read_audio(path) for path in sorted((corpus / "toy").glob(f"*/{emotion}/*.wav"))]
        assert len(waves) == 64
        assert {rate for _, rate in waves} == {22050}
        waves = [wav for wav, _ in waves]
        assert all(0.8 < len(wav) / 22050 < 5 and np.abs(wav).max() < 0.9 for wav in waves)
        assert all(np.std(wav[:200]) > 1e-5 for wav in waves)  # no digital silence
        loudness[emotion] = np.mean([10 * np.log10(np.mean(wav**2)) for wav in waves])
        power = [np.abs(np.fft.rfft(wav)) ** 2 for wav in waves]
        tilt[emotion] = np.mean([10 * np.log10(p[len(p) // 5 :].sum() / p[: len(p) // 5].sum()) for p in power])
        length[emotion] = np.mean([len(wav) for wav in waves])
    assert loudness["sad"] + 1.5 < loudness["neutral"] < loudness["angry"] - 1.5
    assert tilt["neutral"] < tilt["angry"] - 3
    assert length["angry"] < length["neutral"] < length["sad"]


def test_same_bytes_again_and_others_with_another_seed(corpus, tmp_path):
    run_toy(tmp_path)
    assert digest(tmp_path / "toy") == digest(corpus / "toy")
    made = (tmp_path / "toy/toy.json").stat().st_mtime_ns
    run_toy(tmp_path)
    assert (tmp_path / "toy/toy.json").stat().st_mtime_ns == made  # up to date: not done again
    run_toy(tmp_path, "--seed", "1")
    assert digest(tmp_path / "toy") != digest(corpus / "toy")


def test_a_long_path_to_espeaks_data(local, tmp_path, monkeypatch):
    loader = pytest.importorskip("espeakng_loader")
    data = tmp_path / ("long" * 30) / "espeak-ng-data"
    data.parent.mkdir()
    data.symlink_to(loader.get_data_path())
    monkeypatch.setattr(loader, "get_data_path", lambda: str(data))
    assert len(local("toy").Espeak().say("Hello.", "en+f1", rate=160)) > 2000


def test_a_foreign_folder_is_left_alone(local, tmp_path):
    pytest.importorskip("espeakng_loader")
    (tmp_path / "keep.wav").write_bytes(b"x")
    with pytest.raises(UserError, match="is not a result of this step"):
        local("toy").generate(tmp_path, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["keep.wav"]
