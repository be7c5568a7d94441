import pytest

from evc2.bin.data_dir import main
from evc2.errors import UserError
from evc2.fileio.datadir import DataDir, validate, write_table


@pytest.fixture
def source(tmp_path):
    tables = {
        "wav.scp": {"a-1": "x/1.wav", "b-2": "x/2.wav"}, "utt2spk": {"a-1": "a", "b-2": "b"},
        "spk2utt": {"a": "a-1", "b": "b-2"}, "utt2emo": {"a-1": "sad", "b-2": "happy"},
    }  # fmt: skip
    for name, table in tables.items():
        write_table(tmp_path / "src" / name, table)
    return tmp_path / "src"


def test_labels_with_other_ids_and_other_audio(source, tmp_path):
    write_table(tmp_path / "copy.scp", {"a-1": "y/1.wav", "b-2": "y/2.wav"})
    words = ["--utt_suffix=-world", "--set=utt2vocoder=world", "--wav_scp", str(tmp_path / "copy.scp")]
    main(["copy", *words, str(source), str(tmp_path / "dst")])
    validate(tmp_path / "dst", need=("wav.scp", "utt2spk", "spk2utt", "utt2emo"))
    made = DataDir(tmp_path / "dst")
    assert made.table("wav.scp") == {"a-1-world": "y/1.wav", "b-2-world": "y/2.wav"}
    assert made.table("utt2vocoder") == dict.fromkeys(made.utts, "world")
    assert made.table("utt2emo")["b-2-world"] == "happy" and made.table("spk2utt")["a"] == "a-1-world"


def test_what_cannot_be_copied(source, tmp_path):
    write_table(tmp_path / "copy.scp", {"a-1": "y/1.wav"})
    with pytest.raises(UserError, match="lacks 1 of the utterances.*b-2"):
        main(["copy", "--wav_scp", str(tmp_path / "copy.scp"), str(source), str(tmp_path / "dst")])
    with pytest.raises(UserError, match="utt2<name>=<value>"):
        main(["copy", "--set=text", str(source), str(tmp_path / "dst")])
    write_table(source / "segments", {"a-1": "r 0 1", "b-2": "r 1 2"})
    with pytest.raises(UserError, match="segments"):
        main(["copy", str(source), str(tmp_path / "dst")])
