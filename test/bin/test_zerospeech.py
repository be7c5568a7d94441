"""The commands of ZeroSpeech's evaluation, on small files."""

import json
import subprocess
import sys

import numpy as np
import pytest

from evc2.bin import speaker_probe, zs_abx, zs_bitrate, zs_submission
from evc2.errors import UserError
from evc2.evaluate.zerospeech.embeddings import write_rows
from evc2.fileio.ark import ArkWriter
from evc2.fileio.audio import write_audio
from evc2.fileio.datadir import write_table

HEADER = "#file onset offset #phone prev-phone next-phone speaker"


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """Four utterances of 1 s by two speakers, rows of 0.1 s; phone p is code 0 and q is code 1, but for one row."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["evc2"])
    codes = {"s_1": "0011001100", "s_2": "0101010101", "t_1": "1100110011", "t_2": "0001110001"}
    items, utts = [HEADER], {}
    for name, word in codes.items():
        rows = np.eye(3, dtype=np.uint8)[[int(c) for c in word]]
        rows[-1] = [0, 0, 1]
        write_rows(f"emb/{name}.txt", rows)
        write_audio(f"wav/{name}.wav", np.zeros(16000), 16000)
        utts[name] = name[0]
        items += [f"{name} {k / 10:.1f} {(k + 1) / 10:.1f} {'pq'[int(c)]} a b {name[0]}" for k, c in enumerate(word)]
    write_table("data/utt2spk", utts)
    write_table("data/spk2utt", {"s": "s_1 s_2", "t": "t_1 t_2"})
    write_table("data/wav.scp", {name: f"wav/{name}.wav" for name in utts})
    (tmp_path / "task.item").write_text("\n".join(items) + "\n")
    return tmp_path


def test_abx_reports_every_distance(corpus, capsys):
    words = ["--embeddings", "emb", "--task", "task.item", "--distance", "cosine,kl,levenshtein", "--out", "abx.json"]
    zs_abx.main([*words, "--frame_seconds", "0.1"])
    out = capsys.readouterr().out
    found = json.loads((corpus / "abx.json").read_text())
    assert list(found["abx"]) == ["cosine", "kl", "levenshtein"] and not found["official"]
    for kind, value in found["abx"].items():
        # 20 items a speaker, of which 18 say what they are; the other two are as far from p as from q.
        assert 0 < value["error"] < 20 and f"{kind:<12} error {value['error']:.2f} %" in out
        assert value["normalize"] is (kind == "cosine")
    assert len({value["error"] for value in found["abx"].values()}) == 1  # rows are equal or as far apart as any
    assert "zs_abx --embeddings emb" in found["about"]["command"]
    for clock in (["--data_dir", "data"], ["--wavs", "wav"], ["--frame_seconds", "0.1", "--nj", "3"]):
        zs_abx.main([*words, *clock])
        assert json.loads((corpus / "abx.json").read_text())["abx"] == found["abx"]
    zs_abx.main([*words, "--frame_seconds", "0.1", "--no-normalize", "--speaker", "within"])
    within = json.loads((corpus / "abx.json").read_text())["abx"]["cosine"]
    assert within["normalize"] is False and within["speaker_pairs"] == 2


def test_abx_of_arks_and_alignments(corpus, capsys):
    with ArkWriter("f.ark", "f.scp") as writer:
        for name in ("s_1", "t_1"):
            writer[name] = np.random.default_rng(0).random((50, 4))
    for name, phones in (("s_1", "apbaqb"), ("t_1", "apbaqb")):
        lines = ['"ooTextFile"', '"TextGrid"', "0", "1", "<exists>", "1", '"IntervalTier"', '"phones"', "0", "1", "6"]
        for k, phone in enumerate(phones):
            lines += [f"{k / 6}", f"{(k + 1) / 6}", f'"{phone}"']
        (corpus / "grids").mkdir(exist_ok=True)
        (corpus / "grids" / f"{name}.TextGrid").write_text("\n".join(lines))
    zs_abx.main(["--embeddings", "f.scp", "--alignments", "grids", "--data_dir", "data", "--out", "abx.json"])
    assert "ABX over phone alignments, not the official task" in capsys.readouterr().out
    found = json.loads((corpus / "abx.json").read_text())
    assert found["task"] == zs_abx.NO_TASK and found["abx"]["cosine"]["triplets"] == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "what to tell apart"),
        (["--task", "task.item", "--alignments", "x"], "one of them"),
        (["--task", "task.item"], "nobody said how long a row is"),
        (["--task", "task.item", "--frame_seconds", "0"], "--frame_seconds: expected a positive"),
        (["--task", "task.item", "--nj", "0"], "--nj: expected 1 or more"),
        (["--task", "task.item", "--distance", "euclid"], "unknown 'euclid'"),
        (["--task", "task.abx", "--speaker", "within"], "--speaker within goes with"),
        (["--task", "none.item"], "cannot be read"),
        (["--alignments", "none"], "expected phone alignments"),
    ],
)
def test_abx_refuses(corpus, words, message):
    with pytest.raises(UserError, match=message):
        zs_abx.main(["--embeddings", "emb", *words])


def test_bitrate(corpus, capsys):
    (corpus / "list").write_text("s_1.txt 1\nt_1.txt 1\nt_9.txt 3\n")
    zs_bitrate.main(["--embeddings", "emb", "--list", "list", "--out", "b.json", "--codes", "8", "--rates", "10,5"])
    out = capsys.readouterr().out
    found = json.loads((corpus / "b.json").read_text())
    # s_1 has 5 zeros, 4 ones and the other row; t_1 has 4, 5 and the other row, all of it in 2 s.
    share = np.array([9, 9, 2]) / 20
    assert found["bits_per_second"] == pytest.approx(10 * -np.sum(share * np.log2(share)))
    assert found["missing"] == ["t_9"] and found["upper_bound"] == 45 and found["rows"] == 20
    assert "1 files have no embedding and are left out: t_9" in out and "upper bound 45.00 bit/s" in out
    (corpus / "trials").write_text("x s_1 t neutral\ny s_1 s neutral\nz t_1 s neutral\n")
    for words in (["--data_dir", "data", "--trials", "trials"], ["--wavs", "wav", "--trials", "trials"]):
        zs_bitrate.main(["--embeddings", "emb", "--out", "b.json", *words])
        again = json.loads((corpus / "b.json").read_text())
        assert again["bits_per_second"] == found["bits_per_second"] and again["files"] == 2
    zs_bitrate.main(["--embeddings", "emb", "--list", "list", "--trials", "trials"])
    assert "20 rows (N) of 2 files, 2.00 seconds (D)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to do"),
        (["--codes", "8"], "--codes and --rates go together"),
        (["--embeddings", "emb"], "give one of --list, --wavs and --data_dir"),
        (["--embeddings", "emb", "--wavs", "wav", "--data_dir", "data"], "give one of"),
        (["--codes", "8", "--rates", "x"], "--rates: expected numbers"),
        (["--embeddings", "emb", "--data_dir", "data", "--trials", "other"], "none of its sources is in data"),
    ],
)
def test_bitrate_refuses(corpus, words, message):
    (corpus / "other").write_text("x z_1 t neutral\n")
    with pytest.raises(UserError, match=message):
        zs_bitrate.main(words)


def test_speaker_probe(corpus, capsys):
    pytest.importorskip("sklearn")
    rng, utts = np.random.default_rng(0), {}
    for k in range(24):
        speaker = "st"[k % 2]
        name = f"{speaker}_{k:02d}"
        write_rows(f"codes/{name}.txt", np.eye(8, dtype=np.uint8)[rng.integers(0, 4, 40) + 4 * (k % 2)])
        utts[name] = speaker
    write_table("probe/utt2spk", utts)
    words = ["--embeddings", "codes", "--data_dir", "probe", "--frame_seconds", "0.064", "--out", "p.json"]
    for split in ("time", "utterance"):
        speaker_probe.main([*words, "--split", split])
        found = json.loads((corpus / "p.json").read_text())
        assert found["accuracy"] == 100 and found["chance"] == 50 and found["split"] == split
    assert "speaker accuracy 100.0 %" in capsys.readouterr().out
    with pytest.raises(UserError, match="--segment_seconds: expected a positive"):
        speaker_probe.main([*words, "--segment_seconds", "0"])


class FakeUnits:
    """One-hot rows of the signal's length, one a 64 ms."""

    def __init__(self, samples):
        self.size = -(-samples // 1024)

    def rows(self, kind):
        if kind == "dense":
            return np.full((self.size, 4), 0.25, dtype=np.float32)
        return np.eye(128 if kind == "bottom" else 256, dtype=np.uint8)[np.arange(self.size) % 5]


def test_submission_from_model_to_zip(corpus, capsys, monkeypatch):
    from evc2.convert import units

    monkeypatch.setattr(units, "load_units", lambda *args: lambda wav, rate: FakeUnits(len(wav)))
    (corpus / "trials").write_text("x s_1 V001 neutral\ny t_1 V002 neutral\n")
    for name in "xy":
        write_audio(f"conv/{name}.wav", np.zeros(1600), 16000)
    words = ["make", "--model", "exp", "--data_dir", "data", "--out", "sub", "--auxiliary1", "dense"]
    words += ["--wavs", "conv", "--trials", "trials", "--metadata", "author=Anna"]
    for job in ("1", "2"):
        zs_submission.main([*words, "--njobs", "2", "--job", job])
    assert not (corpus / "sub" / "metadata.yaml").exists()
    zs_submission.main([*words, "--njobs", "2", "--merge", "true", "--zip", "true"])
    assert len((corpus / "sub/2019/english/test/s_1.txt").read_text().splitlines()) == 16  # ceil(16000 / 1024)
    check = ["--languages", "english", "--data_dir", "data", "--trials", "trials"]
    for where in ("sub", "sub.zip"):
        zs_submission.main(["validate", where, *check])
    assert capsys.readouterr().out.count("valid (english; 6 required files)") == 2
    with pytest.raises(UserError, match="2019/surprise/ is missing"):
        zs_submission.main(["validate", "sub"])
    zs_submission.main([*words, "--language", "surprise"])
    zs_submission.main(["validate", "sub"])
    zs_submission.main(["zip", "sub", "again.zip"])
    (corpus / "sub/2019/english/test/s_1.txt").unlink()
    with pytest.raises(UserError, match="sub: 2 problems:\n  1 required files are missing: english/test/s_1.txt"):
        zs_submission.main(["validate", "sub", *check])
    with pytest.raises(UserError, match="1 embeddings are missing, run their jobs: s_1"):
        zs_submission.main([*words, "--merge", "true"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--wavs", "conv"], "--wavs and --trials go together"),
        (["--auxiliary2", "dense"], "--auxiliary2 needs --auxiliary1"),
        (["--njobs", "2", "--job", "3"], "expected a job from 1"),
        (["--njobs", "2"], "needs --job"),
        (["--metadata", "autor=x"], "unknown key 'autor'"),
    ],
)
def test_submission_refuses(corpus, words, message):
    with pytest.raises(UserError, match=message):
        zs_submission.main(["make", "--model", "exp", "--data_dir", "data", "--out", "sub", *words])


@pytest.mark.parametrize("name", ["zs_abx", "zs_bitrate", "zs_submission", "speaker_probe"])
def test_help_is_light(name):
    code = (
        f"import sys\ntry: __import__('evc2.bin.{name}', fromlist=['main']).main(['--help'])\nexcept SystemExit: pass\n"
    )
    code += "sys.exit(bool({'torch', 'numba', 'h5py', 'sklearn', 'numpy'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
