"""The command that writes utt2strength, and its part of the pipeline in the shell."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from evc2.bin.emotion_strength import main
from evc2.errors import UserError
from evc2.feats.relative_attributes import RelativeAttributes
from evc2.fileio.ark import ArkWriter
from evc2.fileio.datadir import read_table, utts_by_speaker, validate, write_table

UTILS = Path(__file__).parents[2] / "utils"


def write_set(folder, each=6, speakers=("s1", "s2"), emotions=("neutral", "angry", "other"), f0=True, seed=0):
    """Angry speech is higher and louder, the strong more so; the strength is the number in its name."""
    rng = np.random.default_rng(seed)
    spk, emo, told = {}, {}, {}
    folder.mkdir(parents=True, exist_ok=True)
    with (
        ArkWriter(folder / "feats.ark", folder / "feats.scp") as feats,
        ArkWriter(folder / "f0.ark", folder / "f0.scp") as pitch,
        ArkWriter(folder / "power.ark", folder / "power.scp") as power,
    ):
        for number, speaker in enumerate(speakers):
            for emotion in emotions:
                for k in range(each):
                    utt, more = f"{speaker}-{emotion}-{k}", (0.5 + 0.2 * k) * (emotion == "angry")
                    frames = 40 + k
                    feats[utt] = rng.normal(number + more, 0.5, (frames, 4))
                    pitch[utt] = np.exp(np.log(100 * (number + 1)) + 0.5 * more + rng.normal(0, 0.05, frames))
                    power[utt] = rng.normal(-5 + more, 0.5, frames)
                    spk[utt], emo[utt] = speaker, emotion
                    told[utt] = "strong" if k >= each // 2 else "normal"
    if not f0:
        (folder / "f0.scp").unlink()
    for name, table in (("utt2spk", spk), ("utt2emo", emo), ("utt2intensity", told)):
        write_table(folder / name, table)
    write_table(folder / "spk2utt", utts_by_speaker(spk))
    write_table(folder / "wav.scp", {utt: f"{utt}.wav" for utt in spk})
    return folder


def test_intensities_that_only_some_utterances_have(tmp_path):
    folder = write_set(tmp_path / "train")
    told = read_table(folder / "utt2intensity")
    write_table(folder / "utt2intensity", {utt: word for utt, word in told.items() if utt != "s1-angry-0"})
    with pytest.raises(UserError, match="utt2intensity lacks 1: s1-angry-0"):
        main(["--train_dir", str(folder), "--out", str(tmp_path / "s.npz")])
    assert not (tmp_path / "s.npz").exists()


def test_writes_strengths_and_tells_how_good_they_are(tmp_path, capsys):
    train, test = write_set(tmp_path / "train"), write_set(tmp_path / "test", speakers=("s1", "s3"), seed=1)
    main(["--train_dir", str(train), "--dirs", str(test), "--out", str(tmp_path / "s.npz")])
    for folder in (train, test):
        validate(folder, need=("utt2strength",))
        table = read_table(folder / "utt2strength")
        assert all(len(value) == 6 and 0 <= float(value) <= 1 for value in table.values())
        assert {value for utt, value in table.items() if "angry" not in utt} == {"0.0000"}
        for speaker in ("s1", folder is train and "s2" or "s3"):
            own = [float(table[f"{speaker}-angry-{k}"]) for k in range(6)]
            assert own[-1] > own[0] > 0 and np.corrcoef(own, range(6))[0, 1] > 0.8
    said = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    rows = [[word.strip() for word in line if word.strip()] for line in said]
    assert rows[1] == ["train", "test"] and rows[2] == ["angry", "100.0 % of 72", "100.0 % of 72"]
    assert rows[3][0] == "all" and rows[7][0] == "angry" and rows[7][1].endswith("% of 18")
    assert RelativeAttributes.load(tmp_path / "s.npz").emotions == ("angry",)


def test_mistakes_write_nothing(tmp_path):
    train = write_set(tmp_path / "train")
    for other, message in (
        (write_set(tmp_path / "plain", f0=False), "plain has feats power, and .*train feats f0 power"),
        (write_set(tmp_path / "sad", emotions=("neutral", "sad")), "'sad' was not learned"),
    ):
        with pytest.raises(UserError, match=message):
            main(["--train_dir", str(train), "--dirs", str(other), "--out", str(tmp_path / "s.npz")])
    with pytest.raises(UserError, match="expected neutral"):
        alone = write_set(tmp_path / "alone", emotions=("angry",))
        main(["--train_dir", str(alone), "--out", str(tmp_path / "s.npz")])
    assert not (tmp_path / "s.npz").exists() and not list(tmp_path.glob("*/utt2strength"))


def test_the_pipeline_does_it_once_for_the_same_labels(tmp_path):
    (tmp_path / "utils").symlink_to(UTILS)
    for name in ("train", "dev"):
        write_set(tmp_path / f"dump_{name}")
    (tmp_path / "run.sh").write_text(
        f"set -euo pipefail\npython={sys.executable} stage=1 stop_stage=9 force=false train_cmd=utils/run.pl\n"
        "dump=dump stats=stats/stats.npz sets=(train dev)\n. utils/stages.sh\n. utils/strength.sh\nwatch_signals\n"
        "begins 4 strength\nstrength_tables\n"
    )

    def output():
        done = subprocess.run(["bash", "run.sh"], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = output()
    assert "angry" in first and "% of 72" in first and "Accounting" not in first
    before = read_table(tmp_path / "dump_dev" / "utt2strength")
    assert len(before) == 36 and (tmp_path / "stats" / "strength.npz").is_file()
    assert "up to date" in output()
    emotions = read_table(tmp_path / "dump_dev" / "utt2emo")
    write_table(tmp_path / "dump_dev" / "utt2emo", {**emotions, "s1-angry-5": "neutral"})
    assert "done again, for dump_dev/utt2emo changed" in output()
    assert read_table(tmp_path / "dump_dev" / "utt2strength")["s1-angry-5"] == "0.0000" != before["s1-angry-5"]
