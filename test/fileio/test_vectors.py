"""Vectors of other programs: every form gives the same, and what is wrong is said."""

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.fileio.ark import ArkWriter
from evc2.fileio.vectors import read_vectors

VECTORS = {"s1": np.array([1.0, -2.0, 3.0], np.float32), "s2": np.array([0.5, 0.0, 0.25], np.float32)}


@pytest.fixture
def forms(tmp_path):
    with ArkWriter(tmp_path / "v.ark", tmp_path / "v.scp") as writer:
        for key, vector in VECTORS.items():
            writer[key] = vector if key == "s1" else vector[None]  # a matrix of one row
    np.savez(tmp_path / "v.npz", **VECTORS)
    for name, suffix in (("plain", ""), ("published", "-spker_embed")):
        (tmp_path / name).mkdir()
        for key, vector in VECTORS.items():
            np.save(tmp_path / name / f"{key}{suffix}.npy", vector[None].astype(np.float64))
    return tmp_path


@pytest.mark.parametrize("name", ["v.scp", "v.ark", "v.npz", "plain", "published"])
def test_every_form_gives_the_same(forms, name):
    found = read_vectors(forms / name)
    assert sorted(found) == ["s1", "s2"]
    for key, vector in VECTORS.items():
        assert found[key].dtype == np.float32
        np.testing.assert_array_equal(found[key], vector)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((2, 3)), "s3.*one vector.*\\(2, 3\\)"),
        (np.ones(0), "one vector"),
        (np.array(1.0), "one vector"),
        (np.array(["a", "b", "c"]), "vector of numbers"),
        (np.array([1.0, np.nan, 0.0]), "s3.*finite"),
        (np.zeros(3), "not all 0"),
        (np.ones(4), "one size, found 3 .*4 \\(s3\\)"),
        (np.array([{"a": 1}], dtype=object), "s3.*plain numbers"),
    ],
)
def test_wrong_vectors(forms, array, message):
    np.save(forms / "plain" / "s3.npy", array, allow_pickle=True)
    with pytest.raises(UserError, match=message):
        read_vectors(forms / "plain")


def test_wrong_files(forms):
    (forms / "empty").mkdir()
    (forms / "v.txt").write_text("s1 1 2 3\n")
    content = (forms / "v.ark").read_bytes()
    (forms / "cut.ark").write_bytes(content[:-2])
    (forms / "text.ark").write_text("s1  [ 1 2 3 ]\n")
    (forms / "none.ark").write_bytes(b"")
    (forms / "text.npz").write_text("no zip")
    np.save(forms / "published" / "s1.npy", VECTORS["s1"])
    for name, message in {
        "nothing.scp": "found nothing",
        "empty": "spker_embed.npy, found none",
        "v.txt": "expected vectors as",
        "cut.ark": "truncated file at byte",
        "text.ark": "give its .scp",
        "none.ark": "empty",
        "text.npz": "cannot be read",
        "published": "both s1-spker_embed.npy and s1.npy",
    }.items():
        with pytest.raises(UserError, match=message):
            read_vectors(forms / name)


def test_nothing_is_unpickled(forms):
    np.savez(forms / "p.npz", s1=np.array([print], dtype=object))
    with pytest.raises(UserError, match="s1.*cannot be read"):
        read_vectors(forms / "p.npz")
