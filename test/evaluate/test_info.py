import subprocess

import pytest

from evc2.errors import UserError
from evc2.evaluate import info


def test_commit(tmp_path):
    def git(*words):
        command = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e", *words]
        subprocess.run(command, check=True, capture_output=True)

    assert info.commit(tmp_path / "nowhere") == "unknown"
    git("init", "-q")
    assert info.commit(tmp_path) == "unknown"
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-q", "-m", "m")
    head = info.commit(tmp_path)
    assert len(head) == 40
    (tmp_path / "untracked").write_text("1")
    assert info.commit(tmp_path) == head
    (tmp_path / "a").write_text("2")
    assert info.commit(tmp_path) == f"{head}-dirty"


def test_hardware_names_the_cores():
    assert "core" in info.hardware()


def test_facts(tmp_path):
    path = tmp_path / "f.json"
    path.write_text('{"steps": 12000, "minutes": 41.52345, "hardware": "2 cores", "nested": {"a": 1}}')
    assert info.read_facts(path) == {"steps": "12000", "minutes": "41.52", "hardware": "2 cores"}
    for text, words in (("[1]", "object"), ("{", "not JSON"), ("{}", "no plain value")):
        path.write_text(text)
        with pytest.raises(UserError, match=words):
            info.read_facts(path)
    with pytest.raises(UserError, match="cannot read"):
        info.read_facts(tmp_path / "none.json")
