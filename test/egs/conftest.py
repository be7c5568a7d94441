import importlib.util
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def local(monkeypatch):
    """Return a function that loads egs/<recipe>/evc1/local/<name>.py, with its neighbours importable."""

    def load(recipe, name=None):
        folder = ROOT / "egs" / recipe / "evc1" / "local"
        monkeypatch.syspath_prepend(str(folder))
        spec = importlib.util.spec_from_file_location(f"local_{recipe}_{name}", folder / f"{name or recipe}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def real_data():
    """Return a function: the folder NAME of real speech below $EVC2_REAL_DATA, or skip."""

    def find(name):
        root = os.environ.get("EVC2_REAL_DATA")
        if not root:
            pytest.skip("EVC2_REAL_DATA names no folder with real corpora")
        if not (Path(root) / name).is_dir():
            pytest.skip(f"$EVC2_REAL_DATA has no folder {name}")
        return Path(root) / name

    return find
