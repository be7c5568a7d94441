"""From answers to results: known answers, exclusions, and files that are refused."""

import csv
import io
import json

import pytest

from evc2.bin.score_listening import main
from evc2.errors import UserError
from evc2.listening.answers import COLUMNS
from evc2.listening.score import score
from evc2.listening.store import Store, store_path

MOS = {"natural": 5, "good": 4, "buzz": 2}
SIMILARITY = {"natural_same_speaker": 4, "good": 3, "buzz": 2, "natural_other_speaker": 1}


def answer_of(made, item, number):
    """A listener with an opinion, exactly, who prefers good to buzz but every third cannot tell."""
    entry = made.key["items"][item]
    if entry["role"] == "check":
        return entry["expect"][0]
    if entry["test"] == "xab":
        return 0 if number % 3 == 2 else 1 + entry["systems"].index("good")
    return {"mos": MOS, "similarity": SIMILARITY}[entry["test"]][entry["systems"][0]]


def write(made, folder, listener, number, change=None, drop=()):
    """A listener's download; `change` maps an item to another value."""
    answers = []
    for item in made.test.share(number):
        value = (change or {}).get(item, answer_of(made, item, number))
        if item not in drop:
            answers.append({"item": item, "value": value, "plays": 1, "seconds": 2.5, "changes": 0})
    head = {"format": "evc2-listening-answers", "version": 1, "test": made.test.id}
    path = folder / f"{listener}.json"
    path.write_text(json.dumps({**head, "listener": listener, "number": number, "answers": answers}))
    return path


def of_role(made, number, role, test="mos"):
    items = made.test.share(number)
    return [i for i in items if made.key["items"][i]["role"] == role and made.test.items[i]["test"] == test]


@pytest.fixture
def six(made, tmp_path):
    return [write(made, tmp_path, f"l{n}", n) for n in range(6)]


def test_known_answers(made, six, tmp_path, capsys):
    main(["--test", str(made.folder), "--answers", *map(str, six), "--out", str(tmp_path / "out")])
    found = json.loads((tmp_path / "out" / "listening.json").read_text())
    cells = {(c["figure"], c["system"]): c for c in found["cells"] if c["emotion"] == "all"}
    assert {s: cells["mos", s]["mean"] for s in MOS} == MOS
    assert {s: cells["mean", s]["mean"] for s in SIMILARITY} == SIMILARITY
    assert {s: cells["same", s]["mean"] for s in SIMILARITY} == {s: float(v > 2) for s, v in SIMILARITY.items()}
    assert cells["mos", "good"]["low"] == cells["mos", "good"]["high"] == 4  # all agree
    # Practice and checks do not count: 6 listeners x 4 items x 3 tests.
    assert found["answers"] == {"mos": 24, "similarity": 24, "xab": 24}
    assert found["attention_checks"] == {name: {"passed": 6, "asked": 6} for name in ("mos", "similarity", "xab")}
    (all_, angry) = found["preferences"]
    assert (all_["first"], all_["wins"], all_["losses"], all_["ties"]) == ("good", 16, 0, 8)
    assert all_["p"] == pytest.approx(2 / 2**16) and angry["emotion"] == "angry"
    # Everyone gave an item the same value; of the similarity items, none was heard twice.
    alphas = {name: row["alpha"] for name, row in found["krippendorff_alpha"].items()}
    assert alphas["mos"] == 1.0 and alphas["similarity"] is None and alphas["xab"] < 1
    differences = {(d["system"], d["minus"]): d["by_listener"]["mean"] for d in found["mos_differences"]}
    assert differences["good", "buzz"] == 2 and differences["buzz", "natural"] == -3
    text = (tmp_path / "out" / "LISTENING.md").read_text()
    assert text == capsys.readouterr().out
    assert "- listeners: 6 answered, 6 count\n" in text
    assert "With fewer than 20 listeners" in text and "better" not in text
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "listening.tsv").read_text()), delimiter="\t"))
    mos = next(r for r in rows if (r["figure"], r["system"], r["emotion"]) == ("mos", "good", "all"))
    assert (mos["value"], mos["p"]) == ("4", "n/a")


def test_who_is_left_out(made, six, tmp_path):
    check = of_role(made, 1, "check")[0]
    six[1] = write(made, tmp_path, "l1", 1, change={check: 1})
    six[2] = write(made, tmp_path, "l2", 2, drop=of_role(made, 2, "scored")[:2])
    six[3] = write(made, tmp_path, "l3", 3, drop=of_role(made, 3, "practice"))  # practice may be missing
    found = score(made.folder, six)
    assert {name: why for name, why in found.listeners.items() if why} == {
        "l1": "failed 1 attention checks", "l2": "incomplete: 2 of 15 answers missing",
    }  # fmt: skip
    assert found.counted == 4 and found.counts["mos"] == 16 and found.checks["mos"] == (5, 6)
    assert score(made.folder, six, max_failed=1).counted == 5
    everyone = score(made.folder, six, keep_all=True)
    assert everyone.counted == 6 and everyone.counts["mos"] == 22 and "--keep_all" in everyone.rule
    with pytest.raises(UserError, match="no listener counts: 1 x failed 1 attention checks, 1 x incomplete"):
        score(made.folder, six[1:3])


def test_server_and_files_together(made, six):
    store = Store(store_path(made.folder), made.test.id)
    store.enter("early", None)  # agreed, but answered nothing: number 0
    for name in ("other", "served"):
        number, _ = store.enter(name, None)
    for item in made.test.share(number):
        fields = {"listener": "served", "item": item, "value": answer_of(made, item, number)}
        store.save(made.test.answer(fields))
    found = score(made.folder, six[:2])
    store.close()
    assert {name for name, why in found.listeners.items() if why is None} == {"l0", "l1", "served"}
    assert found.listeners["early"].startswith("incomplete")


def test_a_csv_of_all_is_as_good(made, six, tmp_path):
    lines = [",".join(COLUMNS)]
    for path in six:
        content = json.loads(path.read_text())
        for a in content["answers"]:
            row = [content["test"], content["listener"], content["number"], *a.values()]
            lines.append(",".join(map(str, row)))
    (tmp_path / "all.csv").write_text("\n".join(lines) + "\n")
    left, right = score(made.folder, six), score(made.folder, [tmp_path / "all.csv"])
    assert [c.value for c in left.cells] == [c.value for c in right.cells] and left.listeners == right.listeners


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(test="other"), "answers of test other, expected"),
        (lambda c: c.update(number=-1), "number: expected a whole number"),
        (lambda c: c.update(number=1), "is not among the items of listener number 1"),
        (lambda c: c.update(format="x"), "expected answers as the page's download gives them"),
        (lambda c: c["answers"][2].update(value=77), "answer 3: value: expected one of"),
        (lambda c: c["answers"].append(5), "item: this test has no item None"),
        (lambda c: c["answers"][0].update(item="x"), "answer 1: item: this test has no item 'x'"),
        (lambda c: c.update(listener="a b"), "listener: expected 1 to 64"),
    ],
)
def test_files_that_are_refused(made, six, change, message):
    content = json.loads(six[0].read_text())
    change(content)
    six[0].write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        score(made.folder, six)


def test_refusals(made, six, tmp_path):
    with pytest.raises(UserError, match="there is nothing to score"):
        score(made.folder)
    with pytest.raises(UserError, match=r"nowhere.json: no such file"):
        score(made.folder, [tmp_path / "nowhere.json"])
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(UserError, match=r"expected .json, .csv or .sqlite"):
        score(made.folder, [tmp_path / "a.txt"])
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="expected the columns test,listener"):
        score(made.folder, [tmp_path / "a.csv"])
    row = [made.test.id, "l0", "0", made.test.share(0)[0], "x", "1", "1", "0"]
    (tmp_path / "a.csv").write_text(f"{','.join(COLUMNS)}\n{','.join(row)}\n")
    with pytest.raises(UserError, match=r"a.csv:2: expected numbers"):
        score(made.folder, [tmp_path / "a.csv"])
    (tmp_path / "other").mkdir()
    twice = [six[0], write(made, tmp_path / "other", "l0", 1)]
    with pytest.raises(UserError, match="listener l0 has number 1, but 0 before"):
        score(made.folder, twice)
    with pytest.raises(UserError, match="expected --max_failed_checks of 0 or more"):
        score(made.folder, six, max_failed=-1)
    (made.folder / "private" / "key.json").unlink()
    with pytest.raises(UserError, match="without the key nobody knows what was rated"):
        score(made.folder, six)
