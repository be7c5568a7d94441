import numpy as np
import pytest
import soundfile

from evc2.bin.make_data import main as make_data
from evc2.errors import UserError
from evc2.fileio.datadir import read_trials
from evc2.fileio.manifest import read_manifest


@pytest.fixture
def nsynth(local):
    return local("nsynth")


@pytest.fixture
def toy(local):
    return local("nsynth", "toy_instruments")


def lay_out(root, parts=("train", "valid", "test"), where="nsynth-{}/audio"):
    """Three families: acoustic guitars and flutes, a synthetic synth_lead; instruments differ between the parts."""
    for number, part in enumerate(parts):
        folder = root / where.format(part, part)
        folder.mkdir(parents=True)
        for name in ("guitar_acoustic", "flute_acoustic", "synth_lead_synthetic"):
            for instrument in (10 * number, 10 * number + 1):
                for pitch in range(40, 60, 2):
                    for velocity in (25, 127):
                        (folder / f"{name}_{instrument:03d}-{pitch:03d}-{velocity:03d}.wav").write_bytes(b"x")
        (folder / "notes.txt").write_bytes(b"x")
        (folder / "._guitar_acoustic_000-040-025.wav").write_bytes(b"x")


def rows_of(nsynth, root, *options):
    nsynth.main(["--db_root", str(root), "--manifest", str(root.parent / "m.tsv"), *options])
    return {row.utt: row for row in read_manifest(root.parent / "m.tsv")}


@pytest.mark.parametrize("where", ["nsynth-{}/audio", "nsynth-{}/nsynth-{}/audio"])
def test_names_and_parts(nsynth, tmp_path, where):
    lay_out(tmp_path / "db", where=where)
    rows = rows_of(nsynth, tmp_path / "db")
    assert len(rows) == 3 * 3 * 2 * 10 * 2
    row = rows["synth_lead-synthetic_010-042-127"]
    assert (row.speaker, row.words_key, row.set, row.emotion) == ("synth_lead", "042-127", "dev", "neutral")
    rows = rows_of(nsynth, tmp_path / "db", "--families", "flute guitar", "--source", "acoustic", "--pitches", "44:48")
    assert len(rows) == 3 * 2 * 2 * 3 * 2 and {row.words_key[:3] for row in rows.values()} == {"044", "046", "048"}
    command = ["--manifest", str(tmp_path / "m.tsv"), "--out", str(tmp_path / "data"), "--domain_by", "speaker"]
    make_data(command)
    trials = read_trials(tmp_path / "data/test/trials")
    assert len(trials) == 2 * 2 * 3 * 2
    assert (
        trials[0].id == "flute-acoustic_020-044-025-to-guitar" and trials[0].reference == "guitar-acoustic_020-044-025"
    )


def test_missing_parts_are_drawn(nsynth, tmp_path, capsys):
    lay_out(tmp_path / "db", parts=("test",))
    rows = rows_of(nsynth, tmp_path / "db", "--families", "guitar,flute")
    assert {row.set for row in rows.values()} == {""}
    log = capsys.readouterr().err
    assert "not there: nsynth-train nsynth-valid" in log and "the sets are drawn" in log
    make_data(["--manifest", str(tmp_path / "m.tsv"), "--out", str(tmp_path / "data"), "--domain_by", "speaker"])
    trials = read_trials(tmp_path / "data/test/trials")
    assert len(trials) == 2 * 2 * 2 and all(trial.reference for trial in trials)


def test_some_notes_of_each(nsynth, tmp_path):
    lay_out(tmp_path / "db")
    rows = rows_of(nsynth, tmp_path / "db", "--max_notes", "20").values()
    cells = {(family, which): [] for family in ("guitar", "flute", "synth_lead") for which in ("train", "dev", "test")}
    for row in rows:
        cells[row.speaker, row.set].append(row)
    for cell in cells.values():
        assert len(cell) == 20
        assert len({row.words_key for row in cell}) == 20  # every pitch and velocity, of one instrument or the other
        assert len({row.utt.rsplit("_", 1)[1][:3] for row in cell}) == 2
    few = rows_of(nsynth, tmp_path / "db", "--max_notes", "5").values()
    assert len({row.words_key for row in few}) == 5  # the same ones for all families, so that there are references


@pytest.mark.parametrize(
    "options, message",
    [
        (["--families", "gitar"], r"no note is of 'gitar' \(did you mean guitar\?\); found: flute guitar synth_lead"),
        (["--source", "acustic"], r"did you mean acoustic\?"),
        (["--parts", "train dev"], "--parts: expected some of train valid test, found 'dev'"),
        (["--pitches", "84:36"], "expected lowest:highest"),
        (["--source", "electronic"], "no note of source 'electronic'"),
        (["--pitches", "100:108"], "no note of source 'any' with a pitch of 100:108"),
    ],
)
def test_mistakes(nsynth, tmp_path, options, message):
    lay_out(tmp_path / "db", parts=("test",))
    with pytest.raises(UserError, match=message):
        rows_of(nsynth, tmp_path / "db", *options)


def test_wrong_layout(nsynth, tmp_path):
    (tmp_path / "db/audio").mkdir(parents=True)
    with pytest.raises(UserError, match=r"expected nsynth-train/audio ..., found: audio/. Give the folder"):
        rows_of(nsynth, tmp_path / "db")


def test_download(nsynth, tmp_path, monkeypatch):
    """With a stand-in for the network: what is there is not fetched, each archive goes into its own folder."""
    import tarfile

    import evc2.fileio.download as module

    lay_out(tmp_path / "src")
    fetched = []

    def fetch(url, path):
        fetched.append(url)
        part = url.rsplit("nsynth-", 1)[1].split(".")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w:gz") as archive:
            archive.add(tmp_path / "src" / f"nsynth-{part}", f"nsynth-{part}")
        return path

    monkeypatch.setattr(module, "fetch", fetch)
    command = ["--download", "true", "--parts", "valid test"]
    assert len(rows_of(nsynth, tmp_path / "down/nsynth", *command)) == 2 * 3 * 2 * 10 * 2
    assert len(rows_of(nsynth, tmp_path / "down/nsynth", *command)) == 2 * 3 * 2 * 10 * 2
    address = "http://download.magenta.tensorflow.org/datasets/nsynth/"
    assert fetched == [f"{address}nsynth-{part}.jsonwav.tar.gz" for part in ("valid", "test")]


def test_toy_instruments_have_their_pitch_and_timbre(toy):
    def spectrum(family, pitch):
        wav = toy.note(family, 0, pitch, 100, 2.0, seed=0)
        assert len(wav) == 32000 and 0.69 < np.abs(wav).max() < 0.72  # 0.9 * 100 / 127
        return np.abs(np.fft.rfft(wav[2000:18000] * np.hanning(16000)))  # bins of 1 Hz

    def harmonic(found, hz, k):
        return found[round(k * hz) - 4 * k : round(k * hz) + 4 * k + 1]

    for pitch, hz in ((57, 220.0), (69, 440.0)):
        found = {family: spectrum(family, pitch) for family in toy.FAMILIES}
        for family, values in found.items():
            around = values[round(hz * 0.9) : round(hz * 1.1)]
            assert abs(int(around.argmax()) + round(hz * 0.9) - hz) <= 0.015 * hz, family  # a quarter of a semitone
        share = {f: harmonic(v, hz, 4).max() / harmonic(v, hz, 1).max() for f, v in found.items()}
        assert share["flute"] < 0.1 < 0.5 < share["organ"]
    envelope = np.abs(toy.note("guitar", 0, 60, 100, 2.0, seed=0))
    assert envelope[:4000].mean() > 2 * envelope[12000:16000].mean()  # a string decays, an organ does not
    envelope = np.abs(toy.note("organ", 0, 60, 100, 2.0, seed=0))
    assert envelope[1000:5000].mean() == pytest.approx(envelope[12000:16000].mean(), rel=0.05)


def test_toy_instruments_are_a_corpus(toy, nsynth, tmp_path):
    command = ["--out", str(tmp_path / "toy"), "--lowest", "60", "--highest", "64", "--step", "2", "--seconds", "0.5"]
    toy.main(command)
    rows = rows_of(nsynth, tmp_path / "toy", "--source", "acoustic")
    assert len(rows) == 3 * 5 * 3 * 2 and {row.set for row in rows.values()} == {"train", "dev", "test"}
    path = tmp_path / "toy/nsynth-test/audio/organ_acoustic_004-062-050.wav"
    assert soundfile.info(path).duration == 0.5
    before, content = path.stat().st_mtime_ns, path.read_bytes()
    toy.main(command)
    assert path.stat().st_mtime_ns == before
    toy.main([*command, "--seed", "1"])
    assert path.read_bytes() != content
    (tmp_path / "toy/toy_instruments.json").unlink()
    with pytest.raises(UserError, match="not a result of this step"):
        toy.main(command)
