"""The phonemize command, and audio that is cut by TextGrids."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from evc2.bin.extract_feats import main as extract_feats
from evc2.bin.format_wav import main as format_wav
from evc2.bin.phonemize import main
from evc2.errors import UserError
from evc2.fileio.ark import ScpReader
from evc2.fileio.datadir import read_table, write_table

pytest.importorskip("espeakng_loader")

CONTRACT = str(Path(__file__).parents[2] / "egs/TEMPLATE/evc1/conf/feats_hifigan.yaml")
RATE, FPS = 16000, 22050 / 256
LABELS = ["sil", "K", "IH1", "", "D", "Z", "spn", ""]
BOUNDS = [0.0, 0.31, 0.4, 0.52, 0.6, 0.71, 0.83, 0.9, 1.2]


def textgrid(path, labels=LABELS, bounds=BOUNDS, name="phones"):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = "".join(f'{a} {b} "{label}"\n' for a, b, label in zip(bounds, bounds[1:], labels, strict=False))
    tier = f'"IntervalTier" "{name}" 0 {bounds[-1]} {len(bounds) - 1}\n{rows}'
    path.write_text(f'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0 {bounds[-1]} <exists> 1\n{tier}')


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Twenty utterances of 1.2 s of noise by two speakers."""
    monkeypatch.chdir(tmp_path)
    utts = [f"s{n // 10}-{n % 10}" for n in range(20)]
    for utt in utts:
        Path("raw").mkdir(exist_ok=True)
        noise = np.random.default_rng(len(utt)).uniform(-0.3, 0.3, int(1.2 * RATE))
        soundfile.write(f"raw/{utt}.wav", noise, RATE)
    folder = Path("data")
    write_table(folder / "wav.scp", {utt: f"raw/{utt}.wav" for utt in utts})
    write_table(folder / "utt2spk", {utt: utt[:2] for utt in utts})
    write_table(folder / "spk2utt", {s: " ".join(u for u in utts if u.startswith(s)) for s in ("s0", "s1")})
    write_table(folder / "text", dict.fromkeys(utts, "Kids are talking by the door."))
    return folder


def phonemize(*options, data_dir="data", out="out"):
    main(["--data_dir", str(data_dir), "--out", out, *options])


def prepare(*options):
    shared = ["--contract", CONTRACT, "--out", "dump"]
    format_wav(["--data_dir", "data", *shared, "--textgrids", "grids", *options])
    extract_feats(["--data_dir", "dump", *shared])


def test_from_text(data, capsys):
    phonemize()
    rows = read_table("out/phones")
    assert len(rows) == 20 and set(rows.values()) == {"sil k ˈɪ d z ɑːɹ t ˈɔː k ɪ ŋ b aɪ ð ə d ˈɔːɹ sil"}
    assert yaml.safe_load(Path("out/g2p.yaml").read_text()) == {"kind": "espeak", "language": "en-us", "lexicon": None}
    Path("lex").write_text("KIDS  K IH1 D Z\nARE  AA1 R\n")
    phonemize("--g2p", "arpabet", "--lexicon", "lex")
    assert read_table("out/phones")["s0-0"].startswith("sil K IH1 D Z AA1 R T AO1 K")
    said = capsys.readouterr()
    assert "4 words are not in the lexicon" in said.err and "talking by the door" in said.err
    assert said.out.endswith("out: 400 phones of 15 kinds in 20 utterances\n")
    assert yaml.safe_load(Path("out/g2p.yaml").read_text()) == {
        "kind": "arpabet",
        "language": "en-us",
        "lexicon": "lex",
    }
    assert sorted(p.name for p in Path("out").iterdir()) == ["g2p.yaml", "phones"]


def test_texts_that_lack_or_say_nothing(data):
    texts = read_table("data/text")
    write_table("data/text", texts | {"s0-3": "..."})
    with pytest.raises(UserError, match="text: s0-3: .*nothing to say"):
        phonemize()
    write_table("data/text", {utt: text for utt, text in texts.items() if utt not in ("s0-3", "s1-4")})
    with pytest.raises(UserError, match=r"none of 2 of 20 \(s0-3, s1-4\)"):
        phonemize()
    (data / "text").unlink()
    with pytest.raises(UserError, match=r"none of 20 of 20 \(s0-0, .*s0-4 \.\.\.\)"):
        phonemize()
    assert not Path("out/phones").exists()


def test_textgrids_from_the_audio_to_the_durations(data):
    for utt in read_table("data/utt2spk"):
        textgrid(f"grids/{utt[:2]}/{utt[3:]}.TextGrid")
    Path("grids/s1/9.TextGrid").unlink()  # one in twenty lacks
    prepare("--trim", "true")
    assert read_table("dump/skipped") == {"s1-9": "no TextGrid"}
    assert read_table("dump/utt2textgrid")["s0-7"] == "s0/7.TextGrid"
    assert read_table("dump/utt2trim")["s0-7"] == "0.3100 0.8300", "from the first phone to the last, not by level"
    assert int(read_table("dump/utt2num_samples")["s0-7"]) == round(0.52 * 22050)
    phonemize("--g2p", "arpabet", "--textgrids", "grids", data_dir="dump", out="dump")
    assert read_table("dump/phones") == dict.fromkeys(read_table("dump/utt2spk"), "K IH1 sp D Z")
    durations, feats = ScpReader("dump/durations.scp"), ScpReader("dump/feats.scp")
    ends = np.floor((np.array(BOUNDS[1:7]) - 0.31) * FPS + 0.5)
    for utt in feats:
        assert durations[utt].dtype == np.float32 and durations[utt].sum() == len(feats[utt])
        assert np.abs(np.cumsum(durations[utt]) - ends[1:]).max() <= 1
    assert read_table("dump/textgrids_missing", allow_empty=True) == {}
    # phones from the text again: the durations of before would not fit them
    phonemize(data_dir="dump", out="dump")
    assert not Path("dump/durations.scp").exists() and not Path("dump/textgrids_missing").exists()


def test_unusable_textgrids_are_listed(data, capsys):
    for utt in read_table("data/utt2spk"):
        textgrid(f"grids/{utt}.TextGrid")
    prepare()
    textgrid("grids/s0-1.TextGrid", bounds=[2 * bound for bound in BOUNDS])  # of another recording
    (Path("grids") / "s0-2.TextGrid").unlink()
    common = ["--g2p", "arpabet", "--textgrids", "grids"]
    with pytest.raises(UserError, match="2 of 20 utterances have no TextGrid that can be used, over --max_bad 0.05"):
        phonemize(*common, data_dir="dump", out="dump")
    assert not Path("dump/phones").exists()
    phonemize(*common, "--max_bad", "0.1", data_dir="dump", out="dump")
    missing = read_table("dump/textgrids_missing")
    assert list(missing) == ["s0-1", "s0-2"] and "was the audio cut by it" in missing["s0-1"]
    assert "cannot be read" in missing["s0-2"] and "2 of 20 utterances" in capsys.readouterr().err
    kept = set(read_table("dump/utt2spk")) - set(missing)
    assert set(read_table("dump/phones")) == set(ScpReader("dump/durations.scp")) == kept


def test_format_wav_refuses(data):
    for utt in read_table("data/utt2spk"):
        textgrid(f"grids/{utt}.TextGrid", bounds=[3 * bound for bound in BOUNDS])
    with pytest.raises(UserError, match="either --textgrids or --vad"):
        prepare("--vad", "energy")
    with pytest.raises(
        UserError, match="s0-0: s0-0.TextGrid belongs to another recording: its speech is at 0.93 to 2.49"
    ):
        prepare()
    with pytest.raises(UserError, match="expected a tier 'segments', found: phones"):
        prepare("--tier", "segments")
    with pytest.raises(UserError, match="expected a file 'utt2trim', which evc2 format_wav --textgrids writes"):
        write_table("data/feats.yaml", yaml.safe_load(Path(CONTRACT).read_text()))
        Path("data/feats.yaml").write_text(Path(CONTRACT).read_text())
        phonemize("--g2p", "arpabet", "--textgrids", "grids")


def test_phones_of_the_wrong_kind(data):
    for utt in read_table("data/utt2spk"):
        textgrid(f"grids/{utt}.TextGrid")
    prepare()
    with pytest.raises(UserError, match="has phones of ARPAbet; choose --g2p arpabet"):
        phonemize("--textgrids", "grids", data_dir="dump", out="dump")
    for utt in read_table("data/utt2spk"):
        textgrid(f"grids/{utt}.TextGrid", labels=["", "k", "ɪ", "", "d", "z", "", ""])
    with pytest.raises(UserError, match="for --g2p arpabet, found d k z ɪ"):
        phonemize("--g2p", "arpabet", "--textgrids", "grids", data_dir="dump", out="dump")
    phonemize("--textgrids", "grids", data_dir="dump", out="dump")
    assert read_table("dump/phones")["s0-0"] == "k ɪ sp d z"
