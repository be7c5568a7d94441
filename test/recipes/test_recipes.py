"""Runs the rows of test/recipes/*.csv, each in a copy of its recipe's folder, so that the checkout is never touched.

Columns: recipe (corpus, or corpus/task where the task is not evc1); config; options of run.sh; stages first-last; files
that must exist afterwards and not be empty (shell patterns); names of checks in checks.py; limit in seconds; level
(fast, or full: only with tools/test.sh --full).
{real} in the options is the folder $EVC2_REAL_DATA, where corpora lie in their layouts; without it the row is skipped.
Rows of one recipe share a copy, so a stage that an earlier row has made with the same options is not made again.
The limits are those of two idle cores; on a busier machine set EVC2_LIMIT_SCALE=3 or so.
"""

import csv
import os
import shlex
from pathlib import Path

import checks
import pytest

HERE = Path(__file__).parent
COLUMNS = ["recipe", "config", "options", "stages", "files", "check", "limit_s", "level"]


def read_rows() -> list:
    rows = []
    for path in sorted(HERE.glob("*.csv")):
        with open(path, encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            for number, row in enumerate(reader, 2):
                where = f"{path.name}:{number}"
                assert list(row) == COLUMNS and None not in row.values(), f"{where}: expected the columns {COLUMNS}"
                assert row["level"] in ("fast", "full"), f"{where}: level: expected fast or full, found {row['level']}"
                unknown = set(row["check"].split()) - set(checks.CHECKS)
                assert not unknown, f"{where}: no check {', '.join(unknown)} in checks.py"
                marks = [pytest.mark.recipe] + ([pytest.mark.long] if row["level"] == "full" else [])
                rows.append(pytest.param(row, id=f"{path.stem}-{number}-{Path(row['config']).stem}", marks=marks))
    return rows


@pytest.fixture(scope="session")
def copy_of(tmp_path_factory, copy_recipe):
    """copy_of(recipe) -> folder of its copy, the same one each time for all tasks of a corpus."""
    made = {}

    def copy_of(recipe: str) -> Path:
        corpus, _, task = recipe.partition("/")
        if corpus not in made:
            made[corpus] = copy_recipe(tmp_path_factory.mktemp(f"recipe_{corpus}"), corpus)
        return made[corpus] / (task or "evc1")

    return copy_of


@pytest.mark.parametrize("row", read_rows())
def test_recipe(row, copy_of, monkeypatch):
    first, _, last = row["stages"].partition("-")
    real = os.environ.get("EVC2_REAL_DATA", "")
    if "{real}" in row["options"] and not real:
        pytest.skip("EVC2_REAL_DATA names no folder with real corpora")
    run = checks.Row(
        folder=copy_of(row["recipe"]),
        config=row["config"],
        options=shlex.split(row["options"].replace("{real}", real)),
        stages=(int(first), int(last or first)),
        limit=float(row["limit_s"]) * float(os.environ.get("EVC2_LIMIT_SCALE", "1")),
    )
    run.run()
    for pattern in row["files"].split():
        found = list(run.folder.glob(pattern))
        assert found, f"{pattern} is missing"
        assert all(path.stat().st_size > 0 for path in found if path.is_file()), f"{pattern} is empty"
    monkeypatch.chdir(run.folder)  # tables name files from there
    for name in row["check"].split():
        checks.CHECKS[name](run)
