from dataclasses import replace

import pytest

from evc2.bin.make_data import get_parser, main
from evc2.errors import UserError
from evc2.fileio.datadir import DataDir, read_trials, validate
from evc2.fileio.manifest import Utterance, read_manifest, write_manifest


@pytest.fixture
def manifest(tmp_path):
    """Two speakers, three emotions, six sentences; also the audio files (nobody opens them here)."""
    rows = []
    for speaker in ("ann", "bob"):
        for emotion in ("neutral", "calm", "angry"):
            for i in range(6):
                path = tmp_path / f"{speaker}-{emotion}-{i}.wav"
                path.write_bytes(b"")
                rows.append(Utterance(path.stem, speaker, emotion, "", str(path), f"Sentence {i}", set=SET[i]))
    write_manifest(tmp_path / "m.tsv", rows)
    return tmp_path / "m.tsv"


SET = ["train", "train", "train", "dev", "test", "test"]


def make(manifest, *more, out=None):
    out = out or manifest.parent / "data"
    main(["--manifest", str(manifest), "--out", str(out), "--verbose", "0", *more])
    return out


def test_by_column_with_directions(manifest, capsys):
    out = make(manifest, "--directions", "neutral:angry,angry:neutral")
    for name, number in (("train", 18), ("dev", 6), ("test", 12)):
        validate(out / name, need=("wav.scp", "utt2spk", "spk2utt", "text", "utt2emo"))
        assert len(DataDir(out / name).utts) == number
    trials = read_trials(out / "test/trials")
    assert len(trials) == 8
    assert trials[0].id == "ann-angry-4-to-neutral" and trials[0].reference == "ann-neutral-4"
    assert not (out / "train/trials").exists()
    assert "ann    3/1/2  3/1/2  3/1/2    9/3/6\n" in capsys.readouterr().out


def test_sources_and_targets_with_a_map(manifest):
    out = make(manifest, "--sources", "neutral", "--targets", "angry,neutral", "--emotion_map", "calm:neutral")
    trials = read_trials(out / "test/trials")
    assert {trial.emotion for trial in trials} == {"angry"}
    assert sum("calm" in trial.source for trial in trials) == 4


def test_lists(manifest):
    lists = manifest.parent / "lists"
    lists.mkdir()
    for name, number in (("train", 0), ("dev", 1), ("test", 2)):
        utts = [f"ann-{emotion}-{number}" for emotion in ("neutral", "angry")]
        (lists / f"{name}.txt").write_text("\n".join(utts) + "\n")
    out = make(manifest, "--lists", str(lists), "--directions", "neutral:angry")
    assert DataDir(out / "dev").utts == ["ann-angry-1", "ann-neutral-1"]
    assert (out / "lists/dev.txt").read_text() == "ann-angry-1\nann-neutral-1\n"


def test_fractions(manifest):
    text = manifest.read_text().replace("\ttrain\t", "\t\t").replace("\tdev\t", "\t\t").replace("\ttest\t", "\t\t")
    manifest.write_text(text)
    out = make(manifest, "--directions", "neutral:angry", "--test_fraction", "0.3")
    assert [len(DataDir(out / name).utts) for name in ("train", "dev", "test")] == [18, 6, 12]
    # Sentences are drawn, so that every source has its reference.
    assert all(trial.reference for trial in read_trials(out / "test/trials"))


@pytest.mark.parametrize(
    "options, message",
    [
        ([], "which conversions"),
        (["--sources", "neutral"], "which conversions"),
        (["--directions", "neutral:angry", "--sources", "calm", "--targets", "sad"], "not both"),
        (["--directions", "neutral:sad"], "no utterance is sad; the corpus has angry calm neutral"),
        (["--directions", "neutral:angri"], "did you mean angry"),
        (["--directions", "neutral:angry", "--emotion_map", "calm:nutral"], "did you mean neutral"),
    ],
)
def test_mistakes_leave_nothing(manifest, options, message):
    before = sorted(manifest.parent.iterdir())
    with pytest.raises(UserError, match=message):
        make(manifest, *options)
    assert sorted(manifest.parent.iterdir()) == before


def test_intensities(manifest):
    manifest.write_text(manifest.read_text().replace("Sentence 4\t", "Sentence 4\tstrong"))
    with pytest.raises(UserError, match="--intensity loud: the corpus has strong"):
        make(manifest, "--directions", "neutral:angry", "--intensity", "loud")
    make(manifest, "--directions", "neutral:angry", "--intensity", "strong")


def test_between_speakers(manifest, capsys):
    out = make(manifest, "--domain_by", "speaker", "--directions", "")
    trials = read_trials(out / "test/trials")
    assert len(trials) == 2 * 3 * 2
    assert trials[0].id == "ann-angry-4-to-bob" and trials[-1].id == "bob-neutral-5-to-ann"
    for trial in trials:
        assert trial.source[:3] != trial.speaker and trial.emotion in trial.source
        assert trial.reference == trial.speaker + trial.source[3:]
    out = make(manifest, "--domain_by", "speaker", "--directions", "bob:ann", "--intensity", "")
    assert {t.speaker for t in read_trials(out / "dev/trials")} == {"ann"}


def test_to_some_speakers_only(manifest):
    out = make(manifest, "--domain_by", "speaker", "--targets", "ann")
    assert {(t.source[:3], t.speaker) for t in read_trials(out / "test/trials")} == {("bob", "ann")}
    with pytest.raises(UserError, match="not both"):
        make(manifest, "--domain_by", "speaker", "--targets", "ann", "--directions", "bob:ann")


def test_listed_trials(manifest):
    """They are all of their set; the other set follows the directions."""
    listed = manifest.parent / "listed"
    listed.write_text("ann-calm-4 bob\nbob-angry-5 ann\n\nbob-calm-4  bob\n")
    command = ["--domain_by", "speaker", "--targets", "bob", "--trials", str(listed)]
    out = make(manifest, *command)
    trials = {t.id: (t.source, t.speaker, t.emotion, t.reference) for t in read_trials(out / "test/trials")}
    assert trials == {
        "ann-calm-4-to-bob": ("ann-calm-4", "bob", "calm", "bob-calm-4"),
        "bob-angry-5-to-ann": ("bob-angry-5", "ann", "angry", "ann-angry-5"),
        "bob-calm-4-to-bob": ("bob-calm-4", "bob", "calm", "bob-calm-4"),
    }
    assert {(t.source, t.speaker) for t in read_trials(out / "dev/trials")} == {
        (f"ann-{emotion}-3", "bob") for emotion in ("neutral", "calm", "angry")
    }
    listed.write_text("ann-calm-4 angry\n")
    out = make(manifest, "--directions", "neutral:angry", "--trials", str(listed))
    assert [t.id for t in read_trials(out / "test/trials")] == ["ann-calm-4-to-angry"]
    assert len(read_trials(out / "dev/trials")) == 2
    for line, message in (
        ("", "empty; expected lines `utterance target`"),
        ("ann-calm-4", "1: expected `utterance target`, found 'ann-calm-4 '"),
        ("ann-calm-4 bob ann", "1: expected `utterance target`"),
        ("ann-clam-4 bob", r"no utterance 'ann-clam-4' \(did you mean ann-calm-4\?\)"),
        ("ann-calm-0 bob", "'ann-calm-0' is in the training set; list utterances of dev test"),
        ("ann-calm-4 bop", r"no training utterance has the speaker 'bop' \(did you mean bob\?\)"),
        ("ann-calm-4 bob\nann-calm-4 bob", ":2: 'ann-calm-4 bob' is already in an earlier line"),
    ):
        listed.write_text(line + "\n")
        with pytest.raises(UserError, match=message):
            make(manifest, *command)


def test_dev_is_drawn_from_train_where_the_corpus_has_none(manifest):
    manifest.write_text(manifest.read_text().replace("\tdev\t", "\ttrain\t"))
    command = ["--domain_by", "speaker", "--dev_fraction", "0.4"]
    out = make(manifest, *command)
    dev = DataDir(out / "dev").utts
    assert [len(DataDir(out / name).utts) for name in ("train", "test")] == [12, 12] and len(dev) == 12
    assert {utt[:-2] for utt in dev} == {f"{s}-{e}" for s in ("ann", "bob") for e in ("neutral", "calm", "angry")}
    assert DataDir(make(manifest, *command, out=manifest.parent / "again") / "dev").utts == dev
    assert DataDir(make(manifest, *command, "--seed", "1", out=manifest.parent / "other") / "dev").utts != dev
    assert len(DataDir(make(manifest, "--domain_by", "speaker", "--dev_fraction", "0.01") / "dev").utts) == 6
    with pytest.raises(UserError, match="no utterance for dev"):
        make(manifest, *command, "--dev_least", "5")
    with pytest.raises(UserError, match="dev fraction 1.5"):
        make(manifest, "--domain_by", "speaker", "--dev_fraction", "1.5")


def test_some_speakers(manifest):
    out = make(manifest, "--directions", "neutral:angry", "--speakers", "bob")
    assert {utt[:3] for name in ("train", "dev", "test") for utt in DataDir(out / name).utts} == {"bob"}
    for options, message in (
        (["--speakers", "bop"], r"'bop' \(did you mean bob\?\); the corpus has ann bob"),
        (["--domain_by", "speaker", "--directions", "ann:bop"], r"directions: no utterance is of 'bop'"),
        (["--domain_by", "speaker", "--speakers", "bob"], "at least two speakers"),
        (["--domain_by", "speaker", "--sources", "calm"], r"no utterance is of 'calm'; the corpus has ann bob"),
        (["--domain_by", "speaker", "--targets", "an"], r"no utterance is of 'an' \(did you mean ann\?\)"),
    ):
        with pytest.raises(UserError, match=message):
            make(manifest, *(["--directions", "neutral:angry"] if "--domain_by" not in options else []), *options)


def test_unknown_option(capsys):
    with pytest.raises(SystemExit):
        get_parser().parse_args(["--manifest", "m", "--out", "o", "--direction", "x"])
    assert "--directions" in capsys.readouterr().err


@pytest.fixture
def others(tmp_path):
    """Manifest of another corpus: speaker abe, two utterances, one of which names a set of its own."""
    rows = []
    for i in range(2):
        path = tmp_path / f"abe-{i}.wav"
        path.write_bytes(b"")
        rows.append(Utterance(path.stem, "abe", "other", "m", str(path), "Others say this", set=["test", ""][i]))
    write_manifest(tmp_path / "others.tsv", rows)
    return tmp_path / "others.tsv"


@pytest.mark.parametrize("by", ["column", "lists", "fractions"])
def test_another_corpus_joins_the_training_set_alone(manifest, others, by):
    """Whatever the split, and --speakers and --emotion_map of the corpus itself; nothing else changes."""
    options = ["--directions", "neutral:angry", "--emotion_map", "calm:neutral", "--speakers", "ann bob"]
    if by == "lists":
        lists = manifest.parent / "lists"
        lists.mkdir()
        for name, numbers in (("train", (0, 1)), ("dev", (3,)), ("test", (4, 5))):
            utts = [f"{s}-{e}-{i}" for s in ("ann", "bob") for e in ("neutral", "angry") for i in numbers]
            (lists / f"{name}.txt").write_text("\n".join(utts) + "\n")
        options += ["--lists", str(lists)]
    elif by == "fractions":
        text = manifest.read_text()
        for name in ("train", "dev", "test"):
            text = text.replace(f"\t{name}\t", "\t\t")
        manifest.write_text(text)
    alone = make(manifest, *options)
    joined = make(manifest, *options, "--train_manifest", str(others), out=manifest.parent / "joined")
    for name in ("dev", "test"):
        files = sorted(path.name for path in (alone / name).iterdir())
        assert files == sorted(path.name for path in (joined / name).iterdir())
        for file in files:
            assert (alone / name / file).read_bytes() == (joined / name / file).read_bytes()
    before, after = DataDir(alone / "train"), DataDir(joined / "train")
    assert after.utts == sorted([*before.utts, "abe-0", "abe-1"])
    assert after.table("utt2emo")["abe-0"] == "other" and after.table("text")["abe-1"] == "Others say this"
    assert (joined / "lists/train.txt").read_text().splitlines() == after.utts


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"utt": "ann-angry-4", "speaker": "ann"}, "the utterance 'ann-angry-4' is in the corpus that it is to join"),
        ({"utt": "ann-new", "speaker": "ann"}, "the speaker 'ann' is in the corpus that it is to join"),
        ({"start": "0.1", "stop": "0.5"}, "times within recordings in both corpora or in neither"),
    ],
)
def test_what_cannot_join(manifest, others, changes, message):
    write_manifest(others, [replace(read_manifest(others)[0], **changes)])
    with pytest.raises(UserError, match=f"others.tsv.*{message}"):
        make(manifest, "--directions", "neutral:angry", "--train_manifest", str(others))
    assert not (manifest.parent / "data").exists()


def test_no_trials(manifest):
    """For corpora to learn from; without a word of directions it is a mistake, as ever."""
    for by in ("emotion", "speaker"):
        out = make(manifest, "--directions", "none", "--domain_by", by)
        assert [len(DataDir(out / name).utts) for name in ("train", "dev", "test")] == [18, 6, 12]
        assert not list(out.glob("*/trials"))


def test_counts_of_each_speaker(manifest):
    """Counts go before the column `set`; the first speaker by name has all its emotions in one draw."""
    out = make(manifest, "--directions", "none", "--test_count", "4", "--dev_count", "3", "--count_least", "10")
    for name, number in (("train", 11), ("dev", 3), ("test", 4)):
        assert [row.split()[1] for row in (out / name / "utt2spk").read_text().splitlines()].count("bob") == number
    out = make(manifest, "--directions", "none", "--test_count", "4", "--count_least", "20", "--max_speakers", "1")
    assert [len(DataDir(out / name).utts) for name in ("train", "dev", "test")] == [14, 2, 2]
    assert DataDir(out / "train").speakers == ["ann"]
    with pytest.raises(UserError, match="--max_speakers: expected a number from 0 on"):
        make(manifest, "--directions", "none", "--max_speakers", "-1")
