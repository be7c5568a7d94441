"""Submissions: the tree that is written, and what a validator finds in it."""

import io
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import yaml

from evc2.errors import UserError
from evc2.evaluate.zerospeech import submission
from evc2.evaluate.zerospeech.embeddings import read_rows
from evc2.evaluate.zerospeech.submission import parse_metadata, wav_name, wav_names, write_embeddings, write_wavs
from evc2.evaluate.zerospeech.validation import read_required, validate
from evc2.fileio.audio import write_audio
from evc2.fileio.trials import Trial

UTTS = ("S002_001", "S002_002", "S003_001")
KINDS = {"test": "bottom", "auxiliary_embedding1": "dense"}
SPEAKERS = {utt: utt[:4] for utt in UTTS}
TRIALS = [Trial("t1", "S002_001", "V001", "neutral"), Trial("t2", "S003_001", "V002", "neutral")]


class FakeUnits:
    """What an encoder returns, of a made-up signal of 2000 samples."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.bottom, self.top = rng.integers(0, 128, 2), rng.integers(0, 128, 1)
        self.dense = rng.standard_normal((2, 64)).astype(np.float32)

    def rows(self, kind):
        hot = np.eye(128, dtype=np.uint8)
        both = np.concatenate([hot[self.bottom], hot[np.repeat(self.top, 2)]], axis=1)
        return {"bottom": hot[self.bottom], "both": both, "dense": self.dense}[kind]


def encode(utt):
    return FakeUnits(UTTS.index(utt))


@pytest.fixture
def tree(tmp_path):
    """A valid submission of both languages."""
    root = tmp_path / "sub"
    for name in ("t1", "t2"):
        write_audio(tmp_path / "conv" / f"{name}.wav", np.full(1600, 0.1), 16000)
    wavs = {name: str(tmp_path / "conv" / f"{name}.wav") for name in ("t1", "t2")}
    for language in submission.LANGUAGES:
        folder = submission.track(root) / language
        write_embeddings(folder, UTTS, encode, KINDS)
        write_wavs(folder / "test", wavs, wav_names(TRIALS, SPEAKERS))
    submission.write_metadata(root, submission.defaults(KINDS, "abc"))
    submission.write_code(root, "abc", tmp_path, "python -m ...")
    return SimpleNamespace(root=root, english=root / "2019" / "english", wavs=wavs, tmp=tmp_path)


def test_tree(tree):
    names = sorted(p.relative_to(tree.root).as_posix() for p in tree.root.rglob("*") if p.is_file())
    english = [name for name in names if name.startswith("2019/english")]
    texts = [f"{utt}.txt" for utt in UTTS]
    assert english == [f"2019/english/auxiliary_embedding1/{name}" for name in texts] + [
        f"2019/english/test/{name}" for name in (*texts, "V001_001.wav", "V002_001.wav")
    ]
    assert names[-1] == "metadata.yaml" and "2019/metadata.yaml" in names and "2019/code/README.md" in names
    text = (tree.english / "test" / "S002_001.txt").read_text()
    assert set(text) == set("01 \n") and len(text.splitlines()) == 2
    np.testing.assert_array_equal(read_rows(tree.english / "test" / "S002_001.txt"), encode("S002_001").rows("bottom"))
    dense = read_rows(tree.english / "auxiliary_embedding1" / "S002_001.txt")
    np.testing.assert_allclose(dense, encode("S002_001").dense, atol=5.1e-7)
    info = soundfile.info(str(tree.english / "test" / "V001_001.wav"))
    assert (info.samplerate, info.channels, info.subtype, info.frames) == (16000, 1, "PCM_16", 1600)
    assert "abc" in (tree.root / "2019/code/README.md").read_text()


def test_valid(tree):
    required = [f"english/test/{name}" for name in ("S002_001.txt", "V001_001.wav")]
    assert validate(tree.root, required=required) == []
    count = submission.write_zip(tree.root, tree.tmp / "sub.zip")
    assert validate(tree.tmp / "sub.zip", required=required) == []
    with zipfile.ZipFile(tree.tmp / "sub.zip") as archive:
        assert len(archive.namelist()) == count and "metadata.yaml" in archive.namelist()
        assert archive.read("2019/english/test/S002_001.txt") == (tree.english / "test/S002_001.txt").read_bytes()
    first = (tree.tmp / "sub.zip").read_bytes()
    submission.write_zip(tree.root, tree.tmp / "again.zip")
    assert (tree.tmp / "again.zip").read_bytes() == first


def damage(tree, what):
    """Do one wrong thing to a valid submission."""
    test, top, track = tree.english / "test", tree.root / "metadata.yaml", tree.root / "2019" / "metadata.yaml"

    def change(path, **values):
        content = yaml.safe_load(path.read_text()) | {k.replace("_", " "): v for k, v in values.items()}
        path.write_text(yaml.safe_dump({k: v for k, v in content.items() if v != "gone"}))

    def wav(data, **options):
        soundfile.write(test / "V001_001.wav", data, **{"samplerate": 16000, "subtype": "PCM_16", **options})

    actions = {
        "columns": lambda: (test / "S002_002.txt").write_text("1 2\n"),
        "number": lambda: (test / "S002_002.txt").write_text((test / "S002_001.txt").read_text().replace("1", "x", 1)),
        "empty": lambda: (test / "S002_002.txt").write_text(""),
        "missing": lambda: (test / "S002_001.txt").unlink(),
        "rate": lambda: wav(np.zeros(10), samplerate=22050),
        "stereo": lambda: wav(np.zeros((10, 2))),
        "float": lambda: wav(np.zeros(10), subtype="FLOAT"),
        "no samples": lambda: wav(np.zeros(0)),
        "no wav": lambda: (test / "V001_001.wav").write_text("RIFF"),
        "author": lambda: change(top, author="gone"),
        "open": lambda: change(top, open_source="yes"),
        "closed": lambda: change(top, open_source=False),
        "extra key": lambda: change(track, motto="x"),
        "distance": lambda: change(track, abx_distance="cosine"),
        "no description": lambda: change(track, auxiliary1_description="gone"),
        "yaml": lambda: track.write_text("a: [\n"),
        "no metadata": lambda: track.unlink(),
        "code": lambda: (tree.root / "2019/code/README.md").unlink(),
        "one language": lambda: (tree.root / "2019/surprise").rename(tree.tmp / "elsewhere"),
        "aux of one": lambda: (tree.english / "auxiliary_embedding1").rename(tree.tmp / "elsewhere"),
        "aux 2": lambda: [
            (tree.root / "2019" / x / "auxiliary_embedding1").rename(tree.root / "2019" / x / "auxiliary_embedding2")
            for x in submission.LANGUAGES
        ],
        "aux incomplete": lambda: (tree.english / "auxiliary_embedding1" / "S002_001.txt").unlink(),
        "top": lambda: (tree.root / "notes.txt").write_text(""),
        "track": lambda: (tree.root / "2019" / "notes.txt").write_text(""),
        "language": lambda: (tree.english / "notes.txt").write_text(""),
        "test": lambda: (test / "notes.md").write_text(""),
    }
    actions[what]()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("columns", "1 files of 2019/english/test have 2 columns, unlike the others: S002_002.txt"),
        ("number", "2019/english/test/S002_002.txt: line 1: expected numbers"),
        ("empty", "2019/english/test/S002_002.txt: empty"),
        ("missing", "1 required files are missing: english/test/S002_001.txt"),
        (
            "rate",
            "2019/english/test/V001_001.wav: expected a wav of 16-bit PCM, 16000 Hz, one channel; found WAV PCM_16, 22",
        ),
        ("stereo", "16000 Hz, 2 channels"),
        ("float", "found WAV FLOAT"),
        ("no samples", "2019/english/test/V001_001.wav: empty"),
        ("no wav", "2019/english/test/V001_001.wav: cannot be read"),
        ("author", "metadata.yaml: lacks 'author'"),
        ("open", "metadata.yaml: 'open source': expected true or false, found 'yes'"),
        ("closed", "2019/code/ has files, although 'open source' is false"),
        ("extra key", "2019/metadata.yaml: has keys that are not allowed: 'motto'"),
        ("distance", "'abx distance' is 'cosine', expected dtw_cosine"),
        ("no description", "2019/metadata.yaml: lacks 'auxiliary1 description'"),
        ("yaml", "2019/metadata.yaml: expected YAML"),
        ("no metadata", "2019/metadata.yaml is missing"),
        ("code", "2019/code/ is missing or empty"),
        ("one language", "2019/surprise/ is missing"),
        ("aux of one", "2019/surprise/auxiliary_embedding1 is there, but not that of the other language"),
        ("aux 2", "auxiliary_embedding2 is there without auxiliary_embedding1"),
        ("aux incomplete", "1 embeddings of 2019/english/test are not in auxiliary_embedding1: S002_001.txt"),
        ("top", "notes.txt: not expected; the top folder"),
        ("track", "2019/notes.txt: not expected"),
        ("language", "2019/english/notes.txt: not expected"),
        ("test", "1 files in 2019/english/test are neither .txt nor .wav: notes.md"),
    ],
)
def test_invalid(tree, what, message):
    damage(tree, what)
    problems = validate(tree.root, required=["english/test/S002_001.txt"])
    assert any(message in problem for problem in problems), problems
    submission.write_zip(tree.root, tree.tmp / "sub.zip")
    assert validate(tree.tmp / "sub.zip", required=["english/test/S002_001.txt"]) == problems


def test_all_problems_at_once(tree):
    for what in ("columns", "rate", "author", "distance"):
        damage(tree, what)
    assert len(validate(tree.root)) == 4


def test_one_language_by_wish(tree):
    damage(tree, "one language")
    assert validate(tree.root, languages=["english"]) == []


def test_no_submission(tmp_path):
    with pytest.raises(UserError, match="expected a submission, a folder or a zip archive; found nothing"):
        validate(tmp_path / "x.zip")
    (tmp_path / "x.zip").write_text("no")
    with pytest.raises(UserError, match="found a file of another kind"):
        validate(tmp_path / "x.zip")
    with pytest.raises(UserError, match="expected a submission with metadata.yaml"):
        submission.write_zip(tmp_path, tmp_path / "y.zip")
    assert "2019/ is missing" in validate(tmp_path)


def test_required_lists(tmp_path):
    (tmp_path / "l").write_text("english/test/a.txt\nb.txt 0.5\n")
    assert read_required(tmp_path / "l", "english") == ["english/test/a.txt", "english/test/b.txt"]


def test_names_of_wavs():
    assert wav_name(Trial("x", "S002_0034198090", "V001", "neutral"), {}) == "V001_0034198090.wav"
    assert wav_name(Trial("x", "S002-a_b", "V001", "neutral"), {"S002-a_b": "S002"}) == "V001_a_b.wav"
    with pytest.raises(UserError, match="trials 't' and 'u' would both be V001_1.wav"):
        wav_names([Trial("t", "S1_1", "V001", "neutral"), Trial("u", "S2_1", "V001", "neutral")], {})


def test_wavs_are_converted_or_copied(tmp_path):
    sound = 0.5 * np.sin(np.arange(2205) / 9)
    write_audio(tmp_path / "a.wav", sound, 22050, subtype="FLOAT")
    write_audio(tmp_path / "b.wav", sound, 16000)
    found = {name: str(tmp_path / f"{name}.wav") for name in "ab"}
    write_wavs(tmp_path / "out", found, {"a": "A.wav", "b": "B.wav"})
    assert (tmp_path / "out" / "B.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    info = soundfile.info(str(tmp_path / "out" / "A.wav"))
    assert (info.samplerate, info.subtype, info.frames) == (16000, "PCM_16", 1600)
    with pytest.raises(UserError, match="1 of 1 trials have no converted wav: 'c'"):
        write_wavs(tmp_path / "out", found, {"c": "C.wav"})


def test_rows_of_both_levels_and_bad_names(tmp_path):
    assert write_embeddings(tmp_path, UTTS, encode, {"test": "both"}) == {"test": 256}
    with pytest.raises(UserError, match="cannot be the name of a file"):
        write_embeddings(tmp_path, ["../x"], encode, KINDS)

    def refuse(utt):
        raise UserError("no")

    with pytest.raises(UserError, match="S002_001: no"):
        write_embeddings(tmp_path, UTTS, refuse, KINDS)


def test_metadata(tmp_path):
    (tmp_path / "m.yaml").write_text("author: Anna\nopen source: false\nhyperparameters: {a: 1}\n")
    found = parse_metadata([str(tmp_path / "m.yaml"), "author=007", "using_external_data=true"])
    expected = {"author": "007", "open source": False, "hyperparameters": {"a": 1}, "using external data": True}
    assert found == expected
    for word, message in (
        ("autor=x", "unknown key 'autor' \\(did you mean author\\?\\)"),
        ("open_source=maybe", "'open source': expected true or false, found 'maybe'"),
        ("nothing.yaml", "expected key=value or a YAML file"),
    ):
        with pytest.raises(UserError, match=message):
            parse_metadata([word])


def test_archive_is_read_without_unpacking(tmp_path):
    # A name that leads out of the archive is just another file that is not expected.
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../evil.txt", "x")
    (tmp_path / "x.zip").write_bytes(buffer.getvalue())
    assert any("not expected" in problem for problem in validate(tmp_path / "x.zip"))
    assert not (tmp_path.parent / "evil.txt").exists()
