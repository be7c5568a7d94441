"""The command, from files to files."""

import csv
import json
import shutil
import subprocess
import sys

import pytest

from evc2.bin.evaluate import INCOMPLETE, main
from evc2.errors import UserError


@pytest.fixture
def own(corpus, tmp_path):
    """A copy of the corpus's tables, to be spoilt."""
    for name in ("trials", "good.scp", "f0.scp", "analysis_synthesis.scp"):
        shutil.copy(corpus / name, tmp_path / name)
    shutil.copytree(corpus / "data", tmp_path / "data")
    return tmp_path


def words(folder, *more, systems=("zero_effort=@source", "f0=f0.scp", "good=good.scp")):
    found = ["--trials", str(folder / "trials"), "--data_dir", str(folder / "data"), "--out", str(folder / "out")]
    for system in systems:
        name, _, where = system.partition("=")
        if where and not where.startswith("@"):
            where = str(folder / where)
        found += ["--system", f"{name}={where}" if where else system]
    return [*found, "--bootstrap", "200", *more]


def rows(folder):
    with open(folder / "out" / "scores.tsv", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_from_files_to_files(own, capsys):
    (own / "facts.json").write_text('{"steps": 100, "minutes": 2.5, "hardware": "a toaster"}')
    systems = ("zero_effort=@source", "analysis_synthesis=analysis_synthesis.scp", "f0=f0.scp", "good=good.scp")
    main(words(own, "--facts", str(own / "facts.json"), systems=systems))
    found = rows(own)
    assert len(found) == 12 * 4 and all(row["problem"] == "" for row in found)

    scores = json.loads((own / "out" / "scores.json").read_text())
    mean = {(c["system"], c["metric"]): c["mean"] for c in scores["summaries"] if c["direction"] == "neutral -> angry"}
    assert mean["zero_effort", "distance_to_source"] == 0  # the identity shows
    assert mean["good", "distance_to_source"] > 1
    # analysis_synthesis has the reference's length, not the source's, and is scored against the natural reference
    assert mean["analysis_synthesis", "mcd"] < 0.3 and mean["analysis_synthesis", "ddur"] < 0.01
    assert mean["analysis_synthesis", "distance_to_source"] > 0.3
    assert mean["zero_effort", "lf0_rmse"] == pytest.approx(0.405, rel=0.15)  # ln 1.5
    assert mean["f0", "lf0_rmse"] < 0.1 and mean["good", "lf0_rmse"] < 0.05
    assert mean["f0", "ddur"] == pytest.approx(0.1, abs=0.03)
    assert {c["direction"] for c in scores["summaries"]} == {"neutral -> angry", "neutral -> sad", "all"}
    assert scores["trials"] == {"neutral -> angry": 6, "neutral -> sad": 6, "all": 12}
    assert all(c["system"] == "good" and c["verdict"] == "" and not c["enough"] for c in scores["comparisons"])
    assert {c["other"] for c in scores["comparisons"]} == {"zero_effort", "f0"}

    text = (own / "out" / "RESULTS.md").read_text()
    for part in ("neutral -> angry (6 trials)", "neutral -> sad", "all directions (12 trials)", "- commit: ",
                 "- scored on: ", "- date: ", "- command: `python -m evc2.bin.evaluate --trials",
                 "- training: steps 100, minutes 2.5, hardware a toaster", "12 of them with a reference",
                 "| good ", "6*", " ± ", "reported, not concluded from", "Kubichek"):  # fmt: skip
        assert part in text, part
    assert "{" not in text and "above 7 kHz" in text and "more than 40 dB" in text
    printed = capsys.readouterr().out
    assert "neutral -> sad" in printed and "| analysis_synthesis" in printed
    assert sorted(p.name for p in (own / "out").iterdir()) == ["RESULTS.md", "report.html", "scores.json", "scores.tsv"]


def test_bad_trials_are_listed_the_rest_is_scored_and_the_status_says_so(own, capsys):
    lines = (own / "trials").read_text().splitlines()
    first = lines[0].split()
    lines[1] = " ".join([*lines[1].split()[:4], "s1-angry-none"])  # a reference that does not exist
    lines[2] = " ".join(lines[2].split()[:4])  # no reference: fine
    (own / "trials").write_text("\n".join(lines) + "\n")
    table = (own / "good.scp").read_text().splitlines()
    table = [f"{first[0]} {own}/missing.wav", *table[1:], f"zzz {own}/extra.wav"]
    (own / "good.scp").write_text("\n".join(table) + "\n")
    with pytest.raises(SystemExit) as stop:
        main(words(own, "--metrics", "mcd,distance_to_source", "--verbose", "0"))
    assert stop.value.code == INCOMPLETE == 3
    found = {(row["system"], row["trial"]): row for row in rows(own)}
    assert "missing.wav" in found["good", first[0]]["problem"] and found["good", first[0]]["mcd"] == "n/a"
    assert found["f0", first[0]]["problem"] == ""
    second, third = lines[1].split()[0], lines[2].split()[0]
    assert "s1-angry-none" in found["f0", second]["problem"] and found["f0", second]["distance_to_source"] != "n/a"
    assert found["f0", third]["problem"] == "" and found["f0", third]["mcd"] == "n/a"
    assert sum(row["mcd"] != "n/a" for row in found.values()) == 3 * 12 - 1 - 3 - 3
    warned = capsys.readouterr().err
    assert "zzz" in warned and "belong to no trial" in warned
    text = (own / "out" / "RESULTS.md").read_text()
    assert "missing.wav" in text and "11 of them with a reference" in text


def test_what_is_made_of_the_reference_may_lack_where_there_is_none(own):
    lines = (own / "trials").read_text().splitlines()
    without = lines[0].split()[0]
    lines[0] = " ".join(lines[0].split()[:4])
    (own / "trials").write_text("\n".join(lines) + "\n")
    table = (own / "analysis_synthesis.scp").read_text().splitlines()
    (own / "analysis_synthesis.scp").write_text("\n".join(line for line in table if without not in line) + "\n")
    systems = ("analysis_synthesis=analysis_synthesis.scp", "natural=@reference", "good=good.scp")
    main(words(own, "--metrics", "distance_to_source", systems=systems))
    assert len(rows(own)) == 3 * 12 - 2
    (own / "f0.scp").write_text("\n".join(table[1:]) + "\n")
    with pytest.raises(SystemExit):  # a system of its own has no such excuse
        main(words(own, "--metrics", "distance_to_source", systems=("f0=f0.scp",)))


def test_a_folder_of_wavs(own):
    folder = own / "wavs"
    folder.mkdir()
    for line in (own / "good.scp").read_text().splitlines():
        trial, path = line.split()
        shutil.copy(path, folder / f"{trial}.wav")
    (folder / "notes.txt").write_text("not audio")
    main(words(own, "--metrics", "mcd", systems=("folder=wavs", "good=good.scp", "natural=@reference")))
    found = rows(own)
    assert len(found) == 36
    for row in found:
        same = [r["mcd"] for r in found if r["trial"] == row["trial"] and r["system"] in ("folder", "good")]
        assert same[0] == same[1]
        assert row["system"] != "natural" or float(row["mcd"]) == 0


@pytest.mark.parametrize(
    ("more", "systems", "message"),
    [
        (["--compare", "zero_efort"], ("zero_effort=@source", "f0=f0.scp"), "did you mean zero_effort"),
        ([], ("x=none.scp",), "none.scp"),
        ([], ("x=@target",), "@source or @reference"),
        ([], ("x=f0.scp", "x=good.scp"), "given twice"),
        ([], ("x",), "NAME=wav.scp"),
        ([], ("x=data/utt2emo",), "no wav in .* belongs to a trial"),
        (["--metrics", "mdc"], ("x=f0.scp",), "did you mean mcd"),
        (["--compare_by", "vuv", "--metrics", "mcd"], ("x=f0.scp",), "--compare_by"),
        (["--nj", "0"], ("x=f0.scp",), "--nj"),
        (["--facts", "none.json"], ("x=f0.scp",), "none.json"),
        (["--data_dir", "nowhere"], ("x=f0.scp",), "nowhere"),
        (["--trials", "nowhere"], ("x=f0.scp",), "nowhere"),
    ],
)
def test_wrong_options_are_named_and_nothing_is_written(own, more, systems, message):
    with pytest.raises(UserError, match=message):
        main(words(own, *more, systems=systems))
    assert not (own / "out" / "scores.tsv").exists()


def test_an_empty_list_of_trials(own):
    (own / "trials").write_text("")
    with pytest.raises(UserError, match="empty"):
        main(words(own))


def test_sources_that_are_texts(own, capsys):
    lines = [line.split() for line in (own / "trials").read_text().splitlines()]
    (own / "trials").write_text("".join(f"{t} text-7 {s} {e} {r}\n" for t, _, s, e, r in lines))
    main(words(own, systems=("good=good.scp",)))
    assert "12 of 12 trials have a source" in capsys.readouterr().err
    assert "text -> angry" in (own / "out" / "RESULTS.md").read_text()
    assert {row["source_emotion"] for row in rows(own)} == {"n/a"}
    with pytest.raises(SystemExit):  # the source itself was asked for, and there is none
        main(words(own, systems=("zero_effort=@source", "good=good.scp")))


def test_same_seed_same_numbers_with_any_number_of_processes(own):
    numbers = []
    for nj in ("1", "2"):
        main(words(own, "--nj", nj, "--metrics", "mcd,ddur", "--verbose", "0"))
        scores = json.loads((own / "out" / "scores.json").read_text())
        numbers.append([scores["summaries"], scores["comparisons"], rows(own)])
    assert numbers[0] == numbers[1]


def test_starts_without_torch():
    code = (
        "import sys; import evc2.bin.evaluate as e; assert 'numpy' not in sys.modules; "
        "import evc2.evaluate.evaluate; from evc2.evaluate.registry import all_metrics; all_metrics(); "
        "heavy = {'torch', 'librosa', 'scipy.stats', 'matplotlib'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
