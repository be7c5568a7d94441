"""Who imports whom: the arrows of the design, and what commands must not load."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("espnet2.tasks", "espnet2.train", "espnet2.main_funcs", "espnet2.iterators", "espnet2.samplers")
LIGHT = {"espnet2.train", "espnet2.train.abs_espnet_model"}  # the base class of all models: torch alone


def python(*words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def modules_after(statement: str) -> set[str]:
    """The modules that are loaded after a statement; what the statement prints is dropped."""
    text = f"import contextlib, io, json, sys\nwith contextlib.redirect_stdout(io.StringIO()):\n    {statement}\n"
    return set(json.loads(python("-c", text + "print(json.dumps(sorted(sys.modules)))")))


def test_arrows():
    pytest.importorskip("importlinter")
    command = "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_only_tasks_and_training_know_espnets_tasks():
    wrong = []
    for path in sorted((ROOT / "evc2").rglob("*.py")):
        inside = path.relative_to(ROOT / "evc2")
        if inside.parts[0] in ("tasks", "train") or inside.name.endswith("_train.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            heavy = [name for name in names if name.startswith(HEAVY) and name.rpartition(".")[0] not in LIGHT]
            wrong += [f"{inside}: {name}" for name in heavy]
    assert wrong == []


@pytest.mark.parametrize(
    "command",
    [
        "",
        "extract_feats",
        "extract_spembs",
        "convert",
        "evaluate",
        "stats",
        "anchors",
        "pack",
        "ser_judge",
        "svm_judge",
        "score_listening",
        "zs_abx",
        "zs_bitrate",
        "zs_submission",
        "speaker_probe",
        "phonemize",
        "align",
        "emotion_strength",
        "measure_styles",
    ],
)
def test_help_loads_no_torch(command):
    words = [command, "--help"] if command else ["--help"]
    loaded = modules_after(
        f"try: __import__('evc2.bin.evc2', fromlist=['main']).main({words})\n    except SystemExit: pass"
    )
    assert "evc2.cli" in loaded
    assert not loaded & {"torch", "espnet2", "librosa", "matplotlib"}


@pytest.mark.parametrize("module", ["fileio.ark", "fileio.audio", "feats.extract", "feats.stats", "evaluate.evaluate"])
def test_features_and_scores_load_no_torch(module):
    loaded = modules_after(f"import evc2.{module}")
    assert f"evc2.{module}" in loaded
    assert not loaded & {"torch", "espnet2"}


@pytest.mark.parametrize("module", ["convert", "systems.cyclegan", "vocoder.world", "bin.extract_feats", "bin.convert"])
def test_conversion_loads_no_training(module):
    loaded = modules_after(f"import evc2.{module}")
    assert not [name for name in loaded - LIGHT if name.startswith(HEAVY)]
