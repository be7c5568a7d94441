"""The options of convert for F0 models, styles and durations; and the statistics that durations come from."""

import numpy as np
import pytest
import torch

from evc2.bin import convert, pack, stats
from evc2.errors import UserError
from evc2.feats.stats import Stats
from evc2.fileio.ark import ArkWriter
from evc2.fileio.audio import read_audio, write_audio
from evc2.fileio.datadir import read_table, utts_by_speaker, write_table


@pytest.fixture
def source(tmp_path, voice):
    write_audio(tmp_path / "in.wav", voice(0.4), 16000)
    return tmp_path / "in.wav"


def test_f0_model_in_a_folder_or_a_pack(tiny_model, tiny_f0_model, source, tmp_path):
    pack.main(["--model", str(tiny_f0_model), "--out", str(tmp_path / "f0.zip")])
    made = {}
    for name, words in {
        "plain": [],
        "folder": ["--f0", "cwt", "--f0_model", str(tiny_f0_model)],
        "pack": ["--f0", "cwt", "--f0_model", str(tmp_path / "f0.zip")],
    }.items():
        out = tmp_path / f"{name}.wav"
        convert.main(["--model", str(tiny_model), "--emotion", "angry", *words, str(source), str(out)])
        made[name] = read_audio(out)[0]
    assert np.array_equal(made["folder"], made["pack"]) and not np.array_equal(made["folder"], made["plain"])


def test_trials_with_an_f0_model_and_durations(tiny_model, tiny_f0_model, tiny_data, tiny_stats, tmp_path):
    slow = Stats()
    slow.merge(tiny_stats)
    for speaker in ("s1", "s2"):
        slow.add(speaker, "neutral", np.zeros((1, 24)), duration=0.1)
        slow.add(speaker, "angry", np.zeros((1, 24)), duration=0.15)
    slow.save(tiny_model / "stats.npz")
    words = ["--model", str(tiny_model), "--data_dir", str(tiny_data), "--out", str(tmp_path / "out")]
    convert.main([*words, "--f0", "cwt", "--f0_model", str(tiny_f0_model), "--duration", "scale"])
    lengths = {name: len(read_audio(path)[0]) for name, path in read_table(tmp_path / "out/wav.scp").items()}
    assert lengths == {"s1-n2a": 14400, "s2-a2n": 6400, "s2-n2a": 14400, "s3-n2a": 14400}  # of 9600


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--f0", "cwt"], "--f0 cwt and --f0_model DIR_OR_PACK go together"),
        (["--f0_model", "x"], "--f0 cwt and --f0_model DIR_OR_PACK go together"),
        (["--style", "reference"], "--style reference and --reference WAV go together"),
        (["--reference", "r.wav"], "--style reference and --reference WAV go together"),
        (["--style", "mean"], "CycleGAN has no styles"),
        (["--style", "reference", "--reference", "gone.wav"], r"--reference gone\.wav"),
        (["--duration", "scale"], "run stage 4 again"),
    ],
)
def test_what_does_not_go_together(tiny_model, source, tmp_path, words, reason):
    with pytest.raises(UserError, match=reason):
        convert.main(["--model", str(tiny_model), "--emotion", "angry", *words, str(source), str(tmp_path / "o.wav")])
    assert not (tmp_path / "o.wav").exists()


def test_a_folder_says_it_once(tiny_model, source, tmp_path, capsys):
    words = ["--model", str(tiny_model), "--emotion", "angry", "--style", "random", str(tmp_path)]
    with pytest.raises(UserError, match="has no styles"):
        convert.main([*words, str(tmp_path / "out")])


def feature_dir(path, rows, text=True):
    """rows: utt -> (speaker, emotion, frames, words)."""
    path.mkdir()
    with ArkWriter(path / "feats.ark", path / "feats.scp") as feats:
        for utt, (_, _, frames, _) in rows.items():
            feats[utt] = np.ones((frames, 4))
    spk = {utt: row[0] for utt, row in rows.items()}
    write_table(path / "utt2spk", spk)
    write_table(path / "spk2utt", utts_by_speaker(spk))
    write_table(path / "utt2emo", {utt: row[1] for utt, row in rows.items()})
    write_table(path / "wav.scp", {utt: f"{utt}.wav" for utt in rows})
    if text:
        write_table(path / "text", {utt: row[3] for utt, row in rows.items()})
    return path


ROWS = {
    "a-1": ("a", "neutral", 100, "ten letters"),
    "a-2": ("a", "neutral", 400, "Twice as long, 20 letters!"),
    "a-3": ("a", "sad", 300, "ten letters"),
}


def test_statistics_count_seconds_a_letter(tmp_path):
    data = feature_dir(tmp_path / "d", ROWS)
    stats.main(["--data_dir", str(data), "--out", str(tmp_path / "s.npz")])
    found = Stats.load(tmp_path / "s.npz")
    per_letter = {utt: ROWS[utt][2] * 0.005 / sum(c.isalnum() for c in ROWS[utt][3]) for utt in ROWS}
    assert per_letter["a-1"] == 0.05
    expected = np.mean(np.log([per_letter["a-1"], per_letter["a-2"]]))
    assert found.get("a", "neutral").duration_mean == pytest.approx(expected)
    assert found.get("a", "sad").duration_mean == pytest.approx(np.log(0.15))


def test_statistics_without_text_count_utterances(tmp_path, capsys):
    data = feature_dir(tmp_path / "d", ROWS, text=False)
    stats.main(["--data_dir", str(data), "--out", str(tmp_path / "s.npz")])
    assert np.exp(Stats.load(tmp_path / "s.npz").get("a", "neutral").duration_mean) == pytest.approx(1.0)
    assert "no text" in capsys.readouterr().err


def test_weights_of_the_generators_are_enough(tiny_f0_model, tmp_path):
    pack.main(["--model", str(tiny_f0_model), "--out", str(tmp_path / "f0.zip")])
    weights = torch.load(tiny_f0_model / "1epoch.pth", weights_only=True)
    packed = (tmp_path / "f0.zip").read_bytes()
    assert any(k.startswith("D_A") for k in weights) and b"D_A" not in packed and b"G_AB" in packed
