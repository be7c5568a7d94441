"""tools/bench.sh and the form of a figure: what a line and the table hold, what becomes of a script that fails."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PERF = ROOT / "test/perf"
FIGURE = {"what": "loader", "case": "two", "unit": "ms", "plain": 20.0, "ours": 8.0, "ratio": 2.5, "machine": {}}


@pytest.fixture
def side_by_side(monkeypatch):
    monkeypatch.syspath_prepend(PERF)
    import side_by_side

    return side_by_side


def test_a_figure(side_by_side, capsys):
    side_by_side.report("x", "one", 30.0, 12.0, "ms", repeats=3)
    side_by_side.report("x", "two", 30.0, 12.0, "batches/s", more_is_better=True)
    side_by_side.report("x", "three", None, 12.3456, "RTF")
    one, two, three = map(json.loads, capsys.readouterr().out.splitlines())
    assert list(one) == ["what", "case", "unit", "plain", "ours", "ratio", "machine", "repeats"]
    assert (one["plain"], one["ours"], one["ratio"], one["repeats"]) == (30.0, 12.0, 2.5, 3)
    assert two["ratio"] == 0.4  # more is better, and ours has less
    assert (three["plain"], three["ours"], three["ratio"]) == (None, 12.35, None)
    assert {"device", "cpus", "cores", "threads", "load"} == set(one["machine"]) and one["machine"]["cores"] >= 1


def test_forms_take_turns_and_report(side_by_side, capsys):
    order = []
    seconds = side_by_side.alternate({"plain": lambda: order.append("p"), "ours": lambda: order.append("o")}, 2, 1)
    assert order == list("popopo") and {name: len(values) for name, values in seconds.items()} == {
        "plain": 2,
        "ours": 2,
    }
    side_by_side.report_times(
        "x", "c", {"plain": [4.0, 2.0, 3.0], "ours": [1.0, 2.0, 1.5], "fast": [1.0] * 3}, far={"fast": 7}
    )
    ours, fast = map(json.loads, capsys.readouterr().out.splitlines())
    assert (ours["case"], ours["plain"], ours["ours"], ours["ratio"], ours["ratio_by_least"]) == (
        "c",
        3e3,
        1.5e3,
        2.0,
        2.0,
    )
    assert (fast["case"], fast["ratio"], fast["far"]) == ("c, fast", 3.0, 7)


def table(path: Path) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, PERF / "table.py", path], capture_output=True, text=True)


def test_table(tmp_path):
    path = tmp_path / "b.jsonl"
    other = {**FIGURE, "what": "conversion", "plain": None, "ratio": None}
    path.write_text("".join(json.dumps(f) + "\n" for f in ({**FIGURE, "ratio": 9}, other, FIGURE)) + '{"what": "cut o')
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table(path).stdout.splitlines()]
    assert rows[0] == ["what", "case", "unit", "plain", "ours", "ratio"] and set("".join(rows[1])) <= set("-:")
    assert rows[2:] == [["conversion", "two", "ms", "-", "8", "-"], ["loader", "two", "ms", "20", "8", "2.5"]]
    path.write_text(f'{{"what": "loader", "seconds": 1}}\n{json.dumps(FIGURE)}\n{{"case": "two"}}\n')
    done = table(path)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 3 and "| loader " in done.stdout
    assert f"left out 2 of the lines; {path}:1: expected a JSON object with what, case" in done.stderr
    path.write_text(f"{json.dumps(FIGURE)}\nwhat: loader\n")
    done = table(path)
    assert done.returncode == 1 and f"{path}:2: expected a JSON object with what, case" in done.stderr
    path.write_text('{"what": "loader"}\n')
    done = table(path)
    assert done.returncode == 1 and f"{path}:1: expected a JSON object with what, case" in done.stderr


@pytest.fixture
def tree(tmp_path):
    """bench.sh with two scripts, of which one fails after its first figure."""
    for name in ("tools/bench.sh", "tools/activate_python.sh", "utils/parse_options.sh", "test/perf/table.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    line = json.dumps(FIGURE)
    (tmp_path / "test/perf/loader.py").write_text(
        f"import sys\nprint({line!r})\nsys.exit(3 if '--batches' in sys.argv else 0)\n"
    )
    (tmp_path / "test/perf/abx.py").write_text(
        f"import sys\nprint({line.replace('loader', 'abx')!r})\nprint('odd', file=sys.stderr)\n"
    )
    return tmp_path


def bench(tree: Path, *words: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["bash", tree / "tools/bench.sh", *words]
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=120)


def test_a_script_that_fails_is_named(tree):
    (tree / "bench.jsonl").write_text(json.dumps({**FIGURE, "case": "earlier"}) + '\n{"what": "half')
    done = bench(tree, "--quick", "true", "--only", "abx,loader")
    assert done.returncode == 1 and "FAILED: loader" in done.stderr, done.stderr
    assert "| abx " in done.stdout and "| loader " in done.stdout and "earlier" not in done.stdout
    lines = [json.loads(line) for line in (tree / "bench.jsonl").read_text().splitlines()]
    assert [(line["what"], line["case"]) for line in lines] == [
        ("loader", "earlier"),
        ("loader", "two"),
        ("abx", "two"),
    ]
    assert (tree / "bench.jsonl.logs/abx.log").read_text() == "odd\n"
    done = bench(tree, "--table", "bench.jsonl")
    assert done.returncode == 0 and "earlier" in done.stdout


def test_a_table_that_fails_hides_no_failure(tree):
    (tree / "test/perf/abx.py").write_text("print('no figure')\n")
    done = bench(tree, "--quick", "true", "--only", "abx,loader")
    assert done.returncode == 1 and "expected a JSON object" in done.stderr and "FAILED: loader" in done.stderr
    done = bench(tree, "--quick", "true", "--only", "abx", "--out", "other.jsonl")
    assert done.returncode == 1 and "expected a JSON object" in done.stderr and "FAILED" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "loader,loafer"], "no script 'loafer'; known: "),
        (["--table", "none.jsonl"], "--table none.jsonl: no such file"),
        (["--quick", "yes"], "expected true or false"),
        (["feats"], "expected options only, found 'feats'"),
    ],
)
def test_wrong_options(tree, words, said):
    done = bench(tree, *words)
    assert done.returncode == 1 and said in done.stderr, done.stderr


def test_the_suite_names_scripts_that_exist_and_all_of_them():
    text = (ROOT / "tools/bench.sh").read_text()
    rows = [line.split("|") for line in text.splitlines() if line.startswith('    "') and line.count("|") == 2]
    names = {row[0].strip(' "') for row in rows}
    helpers = {"side_by_side", "turns", "material", "table", "usage"}
    assert names == {path.stem for path in PERF.glob("*.py") if not path.stem.startswith("test_")} - helpers
