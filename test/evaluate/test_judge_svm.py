"""The SVM judge on made-up features with known classes, its files, and the command on voices."""

import json
from pathlib import Path

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.evaluate import judge_svm, svm_features
from evc2.evaluate.judge_svm import ALL, Machine, SVMJudge, softmax
from evc2.evaluate.svm_data import read_examples, read_folds
from evc2.evaluate.svm_training import Examples, choose, fit, measure, predictions, sharpness, train
from evc2.feats.egemaps import SIZE
from evc2.fileio.audio import write_audio

GRID = (0.001, 0.01, 0.1)
EMOTIONS = ("angry", "happy", "sad")


@pytest.fixture(autouse=True)
def _needs_sklearn():
    pytest.importorskip("sklearn", reason="pip install scikit-learn")


def examples(n_speakers=6, each=4, noise=0.3, vocoders=("natural",), shift=0.0, seed=0):
    """Each emotion raises two of the 88 features; speakers add something of their own, and copies shift one feature."""
    rng = np.random.default_rng(seed)
    feats, emotions, speakers, kinds = [], [], [], []
    for s in range(n_speakers):
        voice = 0.1 * rng.standard_normal(SIZE)
        for k, emotion in enumerate(EMOTIONS):
            for _ in range(each):
                clean = voice + noise * rng.standard_normal(SIZE)
                clean[[k, k + 3]] += 2.0
                for v, vocoder in enumerate(vocoders):
                    feats.append(clean + v * shift * (np.arange(SIZE) == 0))
                    emotions.append(emotion)
                    speakers.append(f"s{s}")
                    kinds.append(vocoder)
    return Examples(np.array(feats), np.array(emotions), np.array(speakers), np.array(kinds))


def folds_of(n_speakers, n_folds=3):
    return {f"s{s}": str(s % n_folds) for s in range(n_speakers)}


def test_known_boundary():
    """Two labels at -1 and 1: the boundary lies at 0, and the softmax is even there."""
    feats = np.array([[-1.0], [-1.1], [1.0], [1.1]])
    machine = fit(feats, np.array([0, 0, 1, 1]), 2, 1.0)
    assert machine.scores(np.array([0.0])) == pytest.approx([0.5, 0.5], abs=1e-3)
    assert machine.decision(np.array([[-1.0], [1.0]])).argmax(axis=1).tolist() == [0, 1]
    assert machine.standardised(feats).mean() == pytest.approx(0) and machine.standardised(
        feats
    ).std() == pytest.approx(1)


def test_a_feature_that_never_moves_does_not_explode():
    feats = np.column_stack([np.array([-1.0, -1.1, 1.0, 1.1]), np.full(4, 7.0)])
    machine = fit(feats, np.array([0, 0, 1, 1]), 2, 1.0)
    assert np.abs(machine.decision(np.array([1.0, 7.5]))).max() < 10


def test_rare_labels_weigh_as_much():
    """9 of 10 utterances are of one label and the classes overlap evenly: the boundary stays in the middle."""
    rng = np.random.default_rng(0)
    feats = np.concatenate([rng.normal(-1, 1, (1800, 1)), rng.normal(1, 1, (200, 1))])
    machine = fit(feats, np.repeat([0, 1], [1800, 200]), 2, 0.1)
    at = np.linspace(-3, 3, 601)[:, None]
    border = at[np.flatnonzero(machine.decision(at).argmax(axis=1))[0], 0]
    assert abs(border) < 0.2


def test_sharpness_finds_the_softmax_that_made_the_labels():
    rng = np.random.default_rng(1)
    decisions = rng.standard_normal((20000, 3))
    chances = softmax(2.5 * decisions).cumsum(axis=1)
    targets = (rng.random((20000, 1)) > chances).sum(axis=1)
    assert sharpness(decisions, targets) == pytest.approx(2.5, rel=0.05)


def test_softmax():
    assert softmax(np.array([0.0, np.log(3.0)])) == pytest.approx([0.25, 0.75])
    assert softmax(np.array([1000.0, 0.0])) == pytest.approx([1.0, 0.0])


def test_unseen_speakers_are_recognised_and_chance_is_chance():
    good = examples()
    judge = train(good, folds_of(6), GRID)
    assert judge.labels == list(EMOTIONS) and set(judge.machines) == {"0", "1", "2", ALL}
    found = measure(judge, good)["natural"]
    assert found["all"]["mean"] > 0.95 and found["all"]["speakers"] == 6 and found["all"]["utterances"] == 72
    assert sum(found["confusion"]["angry"].values()) == 24 and found["confusion"]["angry"]["angry"] >= 22
    shuffled = Examples(good.feats, np.random.default_rng(0).permutation(good.emotions), good.speakers, good.vocoders)
    assert measure(train(shuffled, folds_of(6), GRID), shuffled)["natural"]["all"]["mean"] < 0.6


def test_nobody_is_judged_by_a_machine_that_heard_him():
    """Labels that only the speaker's own utterances tell: a machine that has heard him knows them, others do not."""
    rng = np.random.default_rng(3)
    n = 6
    feats = rng.standard_normal((n * 12, SIZE))
    speakers = np.repeat([f"s{s}" for s in range(n)], 12)
    # Within a speaker the labels depend on a direction of his own; the speaker's mark is strong.
    emotions = np.empty(len(feats), dtype="<U5")
    for s in range(n):
        rows = np.flatnonzero(speakers == f"s{s}")
        emotions[rows] = np.array(EMOTIONS)[np.arange(12) % 3]
        feats[rows[:, None], np.arange(3) + 3 * s] += 5.0 * np.eye(3)[np.arange(12) % 3]
    told = Examples(feats, emotions, speakers, np.full(len(feats), "natural"))
    judge = train(told, folds_of(n), GRID)
    seen = np.array(judge.labels)[judge.machines[ALL].decision(feats).argmax(axis=1)]
    assert (seen == emotions).mean() > 0.95
    assert (predictions(judge, told) == emotions).mean() < 0.6
    # A change of the test speaker's own speech leaves his machine as it was, and the other machines not.
    changed = Examples(np.where((speakers == "s0")[:, None], -feats, feats), emotions, speakers, told.vocoders)
    again = train(changed, folds_of(n), GRID)
    assert np.array_equal(again.machines["0"].coef, judge.machines["0"].coef)
    assert again.machines["0"].sharpness == judge.machines["0"].sharpness
    assert not np.array_equal(again.machines["1"].coef, judge.machines["1"].coef)


def test_copies_in_training_help_on_copies():
    """A vocoder that shifts a telling feature fools a judge of natural speech, not one that has heard copies."""
    both = examples(vocoders=("natural", "world"), shift=8.0)
    natural_only = train(both.some(both.vocoders == "natural"), folds_of(6), GRID)
    of_both = train(both, folds_of(6), GRID)
    before, after = (measure(judge, both) for judge in (natural_only, of_both))
    assert list(before) == ["natural", "world"] and before["natural"]["all"]["mean"] > 0.95
    assert before["world"]["all"]["mean"] < 0.6  # all sounds angry
    assert after["world"]["all"]["mean"] > 0.95 and after["natural"]["all"]["mean"] > 0.95


def test_choice_is_made_by_held_out_speakers():
    """The choice and its accuracy are those of a plain leave-one-speaker-out count; of equals the smallest is taken."""
    some, grid = examples(n_speakers=5, noise=1.5), [10.0, 0.0001]
    targets = np.searchsorted(EMOTIONS, some.emotions)
    plain = {}
    for c in grid:
        right = []
        for speaker in ("s0", "s1", "s2", "s3", "s4"):
            test = some.speakers == speaker
            machine = fit(some.feats[~test], targets[~test], 3, c)
            right += (machine.decision(some.feats[test]).argmax(axis=1) == targets[test]).tolist()
        plain[c] = np.mean(right)
    assert plain[10.0] != plain[0.0001]
    c, sharp, accuracy = choose(some.feats, targets, some.speakers, 3, grid)
    assert c == max(plain, key=plain.get) and accuracy == pytest.approx(plain[c]) and sharp > 0
    easy = examples(n_speakers=5, noise=0.05)
    assert choose(easy.feats, targets, easy.speakers, 3, [0.1, 0.01])[::2] == (0.01, 1.0)


def test_strong_is_counted_by_itself():
    base = examples()
    strong = (np.arange(len(base)) % 2 == 0) & (base.emotions != "angry")
    some = Examples(base.feats, base.emotions, base.speakers, base.vocoders, strong)
    found = measure(train(some, folds_of(6), GRID), some)["natural"]
    assert found["strong"]["utterances"] == int(strong.sum()) == 24
    assert "strong" not in measure(train(base, folds_of(6), GRID), base)["natural"]


@pytest.mark.parametrize(
    ("folds", "grid", "words"),
    [
        ({"s0": "1"}, GRID, "5 speakers of the data have no fold"),
        (dict.fromkeys((f"s{k}" for k in range(6)), "1"), GRID, "two folds or more"),
        ({f"s{k}": ALL if k else "1" for k in range(6)}, GRID, "none called 'all'"),
        (folds_of(6), (0.0,), "--c"),
        ({f"s{k}": "2" if k else "1" for k in range(6)}, GRID, "there are 1 speakers"),
    ],
)
def test_unusable_folds(folds, grid, words):
    with pytest.raises(UserError, match=words):
        train(examples(), folds, grid)


def test_an_emotion_of_one_speaker_only():
    some = examples()
    emotions = np.where((some.speakers != "s0") & (some.emotions == "sad"), "angry", some.emotions)
    with pytest.raises(UserError, match="too few speakers have 'sad'"):
        train(Examples(some.feats, emotions, some.speakers, some.vocoders), folds_of(6), GRID)


def test_saved_and_loaded(tmp_path, monkeypatch):
    some = examples()
    judge = train(some, folds_of(6), GRID)
    judge.accuracy, judge.about["name"] = measure(judge, some), "test"
    judge.save(tmp_path)
    again = SVMJudge.load(tmp_path)
    assert (again.labels, again.folds, again.accuracy, again.about, again.kind) == (
        judge.labels, judge.folds, judge.accuracy, judge.about, "egemaps_svm",
    )  # fmt: skip
    feats = some.feats[0]
    monkeypatch.setattr(judge_svm, "egemaps", lambda wav: feats)
    for speaker in ("s0", "s1", "stranger", None):
        scores, embedding = again.judge(np.zeros(1600), speaker)
        machine = judge.machines[judge.folds.get(speaker, ALL)]
        assert scores == pytest.approx(machine.scores(feats)) and scores.sum() == pytest.approx(1)
        assert embedding == pytest.approx((feats - machine.mean) / machine.scale) and embedding.shape == (SIZE,)
    assert again.machine(None) is again.machine("stranger") is again.machines[ALL]
    assert again.machine("s0") is not again.machine("s1")


def test_broken_judges(tmp_path):
    judge = train(examples(), folds_of(6), GRID)
    with pytest.raises(UserError, match="expected an emotion judge"):
        SVMJudge.load(tmp_path / "nothing")
    judge.save(tmp_path)
    said = json.loads((tmp_path / "judge.json").read_text())
    for changes, words in (
        ({"kind": "other"}, "expected kind"),
        ({"version": 2}, "expected kind"),
        ({"labels": ["a", "b"]}, "not a complete judge"),
        ({"folds": {"s0": "9"}}, "no machine of fold 9"),
        ({"machines": ["0", "1", "2"]}, "not a complete judge"),
    ):
        (tmp_path / "judge.json").write_text(json.dumps({**said, **changes}))
        with pytest.raises(UserError, match=words):
            SVMJudge.load(tmp_path)
    (tmp_path / "judge.json").write_text(json.dumps(said))
    SVMJudge.load(tmp_path)
    whole = (tmp_path / "weights.npz").read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no archive"):
        (tmp_path / "weights.npz").write_bytes(content)
        with pytest.raises(UserError, match="not a complete judge"):
            SVMJudge.load(tmp_path)
    machines = {
        **judge.machines,
        ALL: Machine(*(np.full(np.shape(v), np.nan) for v in vars(judge.machines[ALL]).values())),
    }
    SVMJudge(judge.labels, judge.folds, machines).save(tmp_path)
    with pytest.raises(UserError, match="finite"):
        SVMJudge.load(tmp_path)


@pytest.fixture
def voices(tmp_path, voice):
    """Four speakers with two emotions, told by pitch and level, and a copy at half the level of each utterance."""
    tables = {name: {} for name in ("wav.scp", "utt2spk", "utt2emo", "utt2vocoder", "utt2intensity")}
    seed = 0
    for speaker, f0 in (("s1", 110.0), ("s2", 130.0), ("s3", 180.0), ("s4", 200.0)):
        for emotion, ratio, level in (("angry", 1.8, 0.5), ("sad", 0.95, 0.05)):
            for k in range(2):
                seed += 1
                wav = voice(0.5, f0=f0 * ratio, level=level, seed=seed)
                for vocoder, end in (("natural", ""), ("world", "-world")):
                    utt = f"{speaker}-{emotion}-{k}{end}"
                    write_audio(tmp_path / "wav" / f"{utt}.wav", wav * (0.8 if end else 1.0), 16000)
                    row = (str(tmp_path / "wav" / f"{utt}.wav"), speaker, emotion, vocoder, "strong" if k else "normal")
                    for table, value in zip(tables.values(), row, strict=True):
                        table[utt] = value
    data = tmp_path / "data"
    data.mkdir()
    for name, table in tables.items():
        (data / name).write_text("".join(f"{key} {table[key]}\n" for key in sorted(table)))
    (tmp_path / "spk2fold").write_text("s1 a\ns2 b\ns3 a\ns4 b\n")
    return tmp_path


def test_command(voices, capsys):
    pytest.importorskip("opensmile", reason="run tools/setup.sh --extras eval")
    from evc2.bin.svm_judge import main

    out = voices / "judge"
    words = ["--data_dir", str(voices / "data"), "--spk2fold", str(voices / "spk2fold"), "--out", str(out)]
    main([*words, "--c", "0.01", "0.1"])
    assert "trained on natural + world; 2 emotions" in capsys.readouterr().out
    judge = SVMJudge.load(out)
    assert judge.labels == ["angry", "sad"] and judge.folds == {"s1": "a", "s2": "b", "s3": "a", "s4": "b"}
    for kind in ("natural", "world"):
        assert judge.accuracy[kind]["all"]["utterances"] == 16 and judge.accuracy[kind]["all"]["mean"] >= 0.9
        assert judge.accuracy[kind]["strong"]["utterances"] == 8
    text = (out / "RESULTS.md").read_text()
    assert "| world " in text and "Heard as, natural" in text
    before = (out / "egemaps.ark").stat().st_mtime_ns
    main([*words, "--train_on", "natural", "--c", "0.01"])
    assert (out / "egemaps.ark").stat().st_mtime_ns == before  # nothing was extracted again
    assert SVMJudge.load(out).about["trained_on"] == ["natural"]
    with pytest.raises(UserError, match="no speech of kind 'hifigan'"):
        main([*words, "--train_on", "hifigan"])


def fake_features(monkeypatch):
    """Let the level stand for 88 features, so that what surrounds the extraction is tested without the package."""
    done = []

    def levels(wav):
        done.append(len(wav))
        return np.full(SIZE, float(np.float32(np.abs(wav).mean())))

    monkeypatch.setattr(svm_features, "egemaps", levels)
    monkeypatch.setattr(svm_features, "missing", lambda: None)
    monkeypatch.setattr(svm_features.importlib.metadata, "version", lambda name: "1")
    return done


def test_only_what_changed_is_extracted_again(voices, monkeypatch):
    done = fake_features(monkeypatch)
    folds = read_folds(voices / "spk2fold")
    first, bad = read_examples(voices / "data", folds, voices / "feats")
    assert len(done) == len(first) == 32 and bad == {} and first.strong.sum() == 16
    again, _ = read_examples(voices / "data", folds, voices / "feats")
    assert len(done) == 32 and np.array_equal(first.feats, again.feats)
    write_audio(voices / "wav/s1-sad-0.wav", 0.3 * np.random.default_rng(0).standard_normal(9000), 16000)
    third, _ = read_examples(voices / "data", folds, voices / "feats")
    moved = np.flatnonzero((third.feats != first.feats).any(axis=1))
    assert len(done) == 33 and len(moved) == 1 and third.emotions[moved[0]] == "sad"
    (voices / "feats/egemaps.ark").write_bytes(b"")
    fourth, _ = read_examples(voices / "data", folds, voices / "feats")
    assert len(done) == 65 and np.array_equal(third.feats, fourth.feats)


def test_unusable_recordings(voices, monkeypatch):
    fake_features(monkeypatch)
    folds = read_folds(voices / "spk2fold")
    write_audio(voices / "wav/s1-sad-0.wav", np.zeros(9000), 16000)
    some, bad = read_examples(voices / "data", folds, voices / "feats")
    assert len(some) == 31 and "silence" in bad["s1-sad-0"]
    (voices / "wav/s1-sad-1.wav").unlink()
    with pytest.raises(UserError, match="2 of 32 recordings cannot be used"):
        read_examples(voices / "data", folds, voices / "feats")


def test_wrong_tables(voices, monkeypatch):
    fake_features(monkeypatch)
    with pytest.raises(UserError, match="4 speakers have no fold|1 speakers have no fold"):
        read_examples(voices / "data", {"s1": "a", "s2": "a", "s3": "b"}, voices / "feats")
    folds = read_folds(voices / "spk2fold")
    with pytest.raises(UserError, match="no 'hapy'"):
        read_examples(voices / "data", folds, voices / "feats", emotions=["hapy"])
    only, _ = read_examples(voices / "data", folds, voices / "feats", emotions=["sad"])
    assert set(only.emotions) == {"sad"}
    (voices / "data/utt2vocoder").unlink()
    assert set(read_examples(voices / "data", folds, voices / "feats")[0].vocoders) == {"natural"}
    (voices / "data/utt2intensity").write_text("s1-sad-0 strong\n")
    with pytest.raises(UserError, match="utt2intensity lacks 31"):
        read_examples(voices / "data", folds, voices / "feats")
    (voices / "spk2fold").write_text("s1 a b\n")
    with pytest.raises(UserError, match="expected `speaker fold`"):
        read_folds(Path(voices / "spk2fold"))
