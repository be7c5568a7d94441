import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EGS = Path(__file__).parents[2] / "egs"
RECIPES = sorted(path.parent for path in EGS.glob("*/evc1/run.sh"))
DATA_OPTIONS = ("db_root", "download", "split", "emotion_map", "directions", "intensity", "out")


MADE = ("data", "downloads", "dump", "exp")  # by a run of the recipe; git ignores them


def links_of(recipe: Path) -> list[Path]:
    return [p for p in recipe.rglob("*") if p.is_symlink() and p.relative_to(recipe).parts[0] not in MADE]


TASKS = sorted(path.parent for task in ("ser1", "voc1") for path in EGS.glob(f"*/{task}/run.sh"))


@pytest.mark.parametrize("recipe", TASKS, ids=lambda path: "/".join(path.parts[-2:]))
def test_a_recipe_of_another_task_shares_as_much(recipe):
    assert len((recipe / "run.sh").read_text().splitlines()) <= 40 and os.access(recipe / "run.sh", os.X_OK)
    for name in (f"{recipe.name[:3]}.sh", "cmd.sh", "path.sh", "utils"):
        assert (recipe / name).is_symlink(), name
    links = links_of(recipe)
    assert [str(path) for path in links if not path.exists()] == []
    assert not any(os.path.isabs(os.readlink(path)) for path in links)
    if shutil.which("shellcheck"):
        done = subprocess.run(["shellcheck", "run.sh"], cwd=recipe, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_there_are_recipes():
    assert {path.parent.name for path in RECIPES} >= {
        "toy",
        "mydata",
        "ravdess",
        "iemocap",
        "flickr8k",
        "nsynth",
        "zerospeech",
        "tts",
        "esd",
    }


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.parent.name)
def test_a_recipe_is_short_and_shares_the_rest(recipe):
    assert len((recipe / "run.sh").read_text().splitlines()) <= 40
    for name in ("run.sh", "local/data.sh"):
        assert os.access(recipe / name, os.X_OK), name
    for name in ("evc.sh", "cmd.sh", "path.sh", "utils"):
        assert (recipe / name).is_symlink(), name
    links = links_of(recipe)
    assert [str(path) for path in links if not path.exists()] == []
    assert not any(os.path.isabs(os.readlink(path)) for path in links)
    assert (recipe / "README.md").is_file()


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.parent.name)
def test_the_data_script_takes_what_the_template_passes(recipe):
    done = subprocess.run(["local/data.sh", "--help"], cwd=recipe, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for name in DATA_OPTIONS:
        assert f"--{name} " in done.stdout
    done = subprocess.run(["local/data.sh", "--db-rot", "x"], cwd=recipe, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "did you mean --db_root?" in done.stderr


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.parent.name)
def test_shellcheck(recipe):
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(["shellcheck", "run.sh", "local/data.sh"], cwd=recipe, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "corpus, names, options, trials",
    [
        ("mydata", "{}/{}.wav", ["folder", "--same_names", "true"], ["anna-0?-to-ben", "ben-0?-to-anna"]),
        ("mydata", "{}/sad/{}.wav", ["speaker", "--directions", "ben:anna"], ["ben-sad-0?-to-anna"]),
        ("flickr8k", "{}/x/{}.wav", ["folder"], ["anna-x-0?-to-ben", "ben-x-0?-to-anna"]),
        ("nsynth", "{}/{}.wav", ["folder", "--speakers", "anna ben"], ["anna-0?-to-ben", "ben-0?-to-anna"]),
    ],
)
def test_folders_of_speakers(corpus, names, options, trials, tmp_path):
    """One's own recordings by speaker, through local/data.sh; audio is not opened in stage 1."""
    for speaker in ("anna", "ben"):
        for number in range(6):
            path = tmp_path / "db" / names.format(speaker, f"{number:02d}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
    words = ["--db_root", tmp_path / "db", "--out", tmp_path / "data", "--directions", "", "--domain_by", *options]
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(
        ["local/data.sh", *words],
        cwd=EGS / corpus / "evc1",
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found = [line.split()[0] for line in (tmp_path / "data/test/trials").read_text().splitlines()]
    assert len(found) == len(trials)
    for name, pattern in zip(found, trials, strict=True):
        assert re.fullmatch(pattern.replace("?", "[0-5]"), name)
    if "--same_names" in options or corpus == "nsynth":
        assert found[0][5:7] == found[1][4:6]  # the same words are in one set


@pytest.mark.parametrize("corpus", ["ravdess", "iemocap", "toy"])
def test_studies_over_several_runs(corpus):
    folder = EGS / corpus / "evc1"
    for name in ("ablation.sh", "all_pairs.sh"):
        script = folder / "local" / name
        assert script.resolve() == (EGS / "TEMPLATE" / "evc1" / name).resolve() and os.access(script, os.X_OK)
        assert len(script.read_text().splitlines()) < 60
        done = subprocess.run([f"local/{name}", "--help"], cwd=folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and f"local/{name} [" in done.stdout
        done = subprocess.run([script], cwd=EGS, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and "run local/" in done.stderr
    pairs = (folder / "local" / "pairs").read_text().split()
    assert all(pair.count(":") == 1 for pair in pairs) and len({frozenset(p.split(":")) for p in pairs}) == len(pairs)
    done = subprocess.run(["local/all_pairs.sh", "a:b", "b:a"], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "found a:b b:a more than once" in done.stderr


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.parent.name)
def test_every_configuration_of_the_template_is_there(recipe):
    template = EGS / "TEMPLATE" / "evc1" / "conf"
    for path in template.rglob("train_*.yaml"):
        assert (recipe / "conf" / path.relative_to(template)).is_file(), path.name
