import subprocess
import sys

import numpy as np
import pytest
import soundfile

from evc2.bin import anchors, convert, pack, vocode
from evc2.errors import UserError
from evc2.fileio.ark import ArkWriter
from evc2.fileio.audio import read_audio, write_audio
from evc2.fileio.datadir import DataDir, Trial, read_table, write_trials


@pytest.mark.parametrize(("suffix", "rate"), [("wav", 48000), ("flac", 22050), ("ogg", 44100), ("mp3", 32000)])
def test_any_format_rate_and_channels(tiny_model, tmp_path, voice, suffix, rate):
    mono = voice(0.5, rate)
    soundfile.write(tmp_path / f"in.{suffix}", np.stack([mono, mono], axis=1), rate)
    frames = soundfile.info(tmp_path / f"in.{suffix}").frames
    out = tmp_path / "out.wav"
    convert.main(["--model", str(tiny_model), "--emotion", "angry", str(tmp_path / f"in.{suffix}"), str(out)])
    wav, found = read_audio(out)
    # an mp3 decoder may give padding that the header counts differently
    length = len(read_audio(tmp_path / f"in.{suffix}")[0])
    assert found == 16000 and len(wav) == round(length * 16000 / rate) and abs(length - frames) < 3000
    assert np.abs(wav).max() > 0.01


def test_direction_plot_and_folder_as_target(tiny_model, tmp_path, voice):
    write_audio(tmp_path / "in.wav", voice(0.4), 16000)
    (tmp_path / "out").mkdir()
    words = ["--model", str(tiny_model), "--plot", "true", str(tmp_path / "in.wav"), str(tmp_path / "out")]
    convert.main(["--direction", "A2B", *words])
    assert (tmp_path / "out/in.png").read_bytes()[:4] == b"\x89PNG"
    first = (tmp_path / "out/in.wav").read_bytes()
    convert.main(["--emotion", "angry", *words])
    assert (tmp_path / "out/in.wav").read_bytes() == first
    convert.main(["--direction", "B2A", *words])
    assert (tmp_path / "out/in.wav").read_bytes() != first
    with pytest.raises(UserError, match="starts from neutral, not angry"):
        convert.main(["--direction", "A2B", "--source_emotion", "angry", *words])


def test_a_pack_gives_the_same_sound(tiny_model, tmp_path, voice, capsys):
    write_audio(tmp_path / "in.wav", voice(0.4), 16000)
    out = tmp_path / "m.zip"
    pack.main(["--model", str(tiny_model), "--out", str(out)])
    pack.main(["--model", str(tiny_model), "--model_file", "valid.mcd.best.pth", "--out", str(tmp_path / "n.zip")])
    assert out.read_bytes() == (tmp_path / "n.zip").read_bytes()
    assert b"somewhere" not in out.read_bytes()  # no folder of the machine that trained
    assert b"D_A" not in out.read_bytes() and b"G_AB" in out.read_bytes()  # no discriminators
    for model, name in ((tiny_model, "a.wav"), (out, "b.wav")):
        convert.main(["--model", str(model), "--emotion", "angry", str(tmp_path / "in.wav"), str(tmp_path / name)])
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_what_cannot_be_loaded_is_not_packed(tiny_model, tmp_path):
    for model_file, reason in (("checkpoint.pth", "state of a training run"), ("9epoch.pth", "no such weights")):
        with pytest.raises(UserError, match=reason):
            pack.main(["--model", str(tiny_model), "--model_file", model_file, "--out", str(tmp_path / "m.zip")])
    with pytest.raises(UserError, match=r"ends with \.zip"):
        pack.main(["--model", str(tiny_model), "--out", str(tmp_path / "m.tar")])
    assert not (tmp_path / "m.zip").exists()


def test_folders_keep_names_and_list_what_is_bad(tiny_model, tmp_path, voice, capsys):
    source, target = tmp_path / "in", tmp_path / "in" / "converted"
    write_audio(source / "a.wav", voice(0.3), 16000)
    write_audio(source / "sub" / "b.flac", voice(0.3), 16000)
    write_audio(source / "sub" / "b.wav", voice(0.2), 16000)
    (source / "bad.wav").write_bytes(b"RIFF nothing")
    write_audio(source / "short.wav", voice(0.3)[:300], 16000)
    (source / "notes.txt").write_text("text")
    (source / "._a.wav").write_bytes(b"\0\5\26\7")
    words = ["--model", str(tiny_model), "--emotion", "angry", str(source), str(target)]
    for _ in range(2):  # the second time the results of the first lie inside the folder
        with pytest.raises(SystemExit) as stopped:
            convert.main(words)
        assert stopped.value.code == 3
        out, err = capsys.readouterr()
        assert "3 converted, 2 skipped, 2 other files" in out
        assert "skipped bad.wav" in err and "skipped short.wav" in err and "shorter than 0.02 s" in err
    made = sorted(str(p.relative_to(target)) for p in target.rglob("*") if p.is_file())
    assert made == ["a.wav", "sub/b.flac.wav", "sub/b.wav.wav"]
    (source / "bad.wav").unlink()
    (source / "short.wav").unlink()
    convert.main(words)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("gone.wav", None, "found nothing"),
        ("bad.wav", b"RIFF", r"bad\.wav: cannot be read as audio"),
        ("empty.wav", b"", r"empty\.wav: cannot be read as audio"),
    ],
)
def test_bad_files_are_named(tiny_model, tmp_path, name, content, reason):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=reason):
        convert.main(["--model", str(tiny_model), "--emotion", "angry", str(tmp_path / name), str(tmp_path / "o.wav")])
    assert not (tmp_path / "o.wav").exists()


def test_outputs_that_cannot_be(tiny_model, tmp_path, voice):
    path = tmp_path / "in.wav"
    write_audio(path, voice(0.3), 16000)
    before = path.read_bytes()
    words = ["--model", str(tiny_model), "--emotion", "angry"]
    for source, target, reason in (
        (path, path, "overwrite its own source"),
        (path, tmp_path, "overwrite its own source"),
        (path, tmp_path / "out.txt", r"cannot write '\.txt'"),
        (tmp_path, tmp_path, "folder of the sources"),
        (tmp_path, path, "expected a folder"),
        (tiny_model, tmp_path / "o", "expected recordings"),
    ):
        with pytest.raises(UserError, match=reason):
            convert.main([*words, str(source), str(target)])
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [
        ["in.wav", "--emotion", "angry"],
        ["in.wav", "out.wav"],
        ["in.wav", "out.wav", "--emotion", "angry", "--direction", "A2B"],
        ["in.wav", "out.wav", "--emotion", "angry", "--job", "1"],
        ["in.wav", "out.wav", "--data_dir", "d", "--out", "o"],
        ["--data_dir", "d"],
        ["--data_dir", "d", "--out", "o", "--emotion", "angry"],
        ["in.wav", "out.wav", "--emotion", "angry", "--f0", "maybe"],
    ],
)
def test_usage_errors(words, capsys):
    with pytest.raises(SystemExit) as stopped:
        convert.main(["--model", "m", *words])
    assert stopped.value.code == 2 and "error" in capsys.readouterr().err


def test_trials_in_jobs_equal_trials_at_once(tiny_model, tiny_data, tmp_path):
    words = ["--model", str(tiny_model), "--data_dir", str(tiny_data), "--trials", str(tiny_data / "trials")]
    convert.main([*words, "--out", str(tmp_path / "one")])
    for job in ("1", "2"):
        convert.main([*words, "--out", str(tmp_path / "two"), "--njobs", "2", "--job", job])
    assert not (tmp_path / "two/wav.scp").exists()
    convert.main([*words, "--out", str(tmp_path / "two"), "--njobs", "2", "--merge", "true"])
    one, two = (read_table(tmp_path / name / "wav.scp", check_sorted=True) for name in ("one", "two"))
    assert list(one) == list(two) == ["s1-n2a", "s2-a2n", "s2-n2a", "s3-n2a"]
    sources = DataDir(tiny_data).table("wav.scp")
    for name in one:
        wav, _ = read_audio(one[name])
        assert np.array_equal(wav, read_audio(two[name])[0])
        assert len(wav) == 9600
    assert not np.array_equal(read_audio(one["s1-n2a"])[0], read_audio(sources["s1-neutral"])[0])
    write_trials(tmp_path / "first", [Trial("s1-n2a", "s1-neutral", "s1", "angry")])
    words[-1] = str(tmp_path / "first")
    convert.main([*words, "--out", str(tmp_path / "drawn"), "--plot", "true"])
    assert [p.name for p in (tmp_path / "drawn/plots").iterdir()] == ["s1-n2a.png"]


@pytest.mark.parametrize("name", anchors.ANCHORS)
def test_anchors_in_jobs(name, tiny_data, tiny_stats, tiny_contract, tmp_path):
    tiny_stats.save(tmp_path / "stats.npz")
    tiny_contract.save(tmp_path / "c.yaml")
    words = ["--anchor", name, "--stats", str(tmp_path / "stats.npz"), "--contract", str(tmp_path / "c.yaml")]
    words += ["--data_dir", str(tiny_data), "--trials", str(tiny_data / "trials"), "--out", str(tmp_path / "o")]
    anchors.main([*words, "--njobs", "2"])
    whole = read_table(tmp_path / "o/wav.scp")
    assert len(whole) == (3 if name == "analysis_synthesis" else 4)
    (tmp_path / "o/wav.scp").unlink()
    for job in ("1", "2"):
        anchors.main([*words, "--njobs", "2", "--job", job])
    anchors.main([*words, "--njobs", "2", "--merge", "true"])
    assert read_table(tmp_path / "o/wav.scp") == whole


def test_vocode_recordings_and_stored_features(tiny_data, tiny_contract, tmp_path):
    from evc2.feats import world

    tiny_contract.save(tmp_path / "c.yaml")
    words = ["--data_dir", str(tiny_data), "--contract", str(tmp_path / "c.yaml")]
    vocode.main([*words, "--out", str(tmp_path / "full"), "--copy_synthesis", "true"])
    vocode.main([*words, "--out", str(tmp_path / "coded"), "--copy_synthesis", "true", "--coded", "true"])
    data = DataDir(tiny_data)
    with pytest.raises(UserError, match=r"expected feats\.scp"):
        vocode.main([*words, "--out", str(tmp_path / "stored")])
    with (
        ArkWriter(tiny_data / "feats.ark", tiny_data / "feats.scp") as feats,
        ArkWriter(tiny_data / "f0.ark", tiny_data / "f0.scp") as f0,
    ):
        for utt, path in data.table("wav.scp").items():
            found = world.analyze(read_audio(path)[0], tiny_contract)
            feats[utt], f0[utt] = found["feats"], found["f0"]
    vocode.main([*words, "--out", str(tmp_path / "stored")])
    made = {name: read_table(tmp_path / name / "wav.scp") for name in ("full", "coded", "stored")}
    for utt in data.utts:
        full, coded, stored = (read_audio(made[name][utt])[0] for name in ("full", "coded", "stored"))
        assert len(full) == len(coded) == 9600 and abs(len(stored) - 9600) <= 80
        assert not np.array_equal(full, coded)
        assert 0.3 < np.abs(stored).max() / np.abs(full).max() < 3
    other = type(tiny_contract).from_dict({**tiny_contract.to_dict(), "frame_period": 10.0})
    other.save(tiny_data / "feats.yaml")
    with pytest.raises(UserError, match="frame_period: 5.0"):
        vocode.main([*words, "--out", str(tmp_path / "stored")])


def test_help_and_import_need_no_torch():
    code = """
import sys
from evc2.bin import anchors, convert, pack, vocode
for module in (anchors, convert, pack, vocode):
    module.get_parser().format_help()
heavy = [m for m in ("torch", "scipy", "librosa", "matplotlib", "espnet2", "numpy") if m in sys.modules]
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_conversion_loads_no_training_or_plotting_code(tiny_model):
    code = f"""
import sys
from evc2.convert import EVC
import evc2.convert.batch
EVC.from_pretrained({str(tiny_model)!r})
heavy = [m for m in ("espnet2.tasks", "espnet2.tasks.abs_task", "librosa", "matplotlib", "evc2.tasks.evc")
         if m in sys.modules]
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)
