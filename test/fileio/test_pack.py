import hashlib
import json
import stat
import zipfile
from pathlib import Path

import pytest

from evc2.errors import UserError
from evc2.fileio import pack
from evc2.fileio.pack import open_pack, write_pack


@pytest.fixture
def files(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"alpha")
    (tmp_path / "b.bin").write_bytes(bytes(range(256)) * 50)
    return {"config.yaml": tmp_path / "a.txt", "sub/model.pth": tmp_path / "b.bin"}


def hostile(path: Path, entries, listed=None, attr=None) -> Path:
    """A zip with these (name, content) entries and a manifest that vouches for `listed` (default: all of them)."""
    names = dict(entries) if listed is None else listed
    manifest = {
        "format": "evc2-pack",
        "version": 1,
        "files": {n: hashlib.sha256(c).hexdigest() for n, c in names.items()},
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        for name, content in entries:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (attr or stat.S_IFREG | 0o644) << 16
            archive.writestr(info, content)
    return path


def test_round_trip_and_the_folder_is_private_and_removed(tmp_path, files):
    write_pack(tmp_path / "p.zip", files)
    with open_pack(tmp_path / "p.zip") as folder:
        assert (folder / "config.yaml").read_bytes() == b"alpha"
        assert (folder / "sub/model.pth").read_bytes() == bytes(range(256)) * 50
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()


def test_equal_files_give_equal_bytes(tmp_path, files):
    write_pack(tmp_path / "1.zip", files)
    for path in files.values():
        path.touch()
    write_pack(tmp_path / "2.zip", dict(reversed(files.items())))
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()


def test_a_missing_file_leaves_the_old_pack(tmp_path, files):
    write_pack(tmp_path / "p.zip", files)
    before = (tmp_path / "p.zip").read_bytes()
    with pytest.raises(UserError, match=r"stats\.npz, found none"):
        write_pack(tmp_path / "p.zip", {**files, "stats.npz": tmp_path / "gone"})
    assert (tmp_path / "p.zip").read_bytes() == before
    with pytest.raises(UserError, match="leads outside"):
        write_pack(tmp_path / "q.zip", {"../x": files["config.yaml"]})
    assert sorted(p.name for p in tmp_path.glob("*.zip")) == ["p.zip"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/etc/evil", "absolute path"),
        ("C:\\evil", "absolute path"),
        ("C:evil", "absolute path"),
        ("\\\\host\\evil", "absolute path"),
        ("../evil", "leads outside"),
        ("a/../../evil", "leads outside"),
        ("a\\..\\evil", "leads outside"),
        ("a//b", "plain file name"),
        ("./a", "plain file name"),
        (".hidden", "plain file name"),
        ("a\nb", "plain file name"),
        ("folder/", "plain file name"),
    ],
)
def test_unsafe_names_are_refused_and_nothing_is_written(tmp_path, monkeypatch, name, reason):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(pack.tempfile, "tempdir", str(temporary))
    path = hostile(tmp_path / "h.zip", [("ok", b"1"), (name, b"2")])
    with pytest.raises(UserError, match=reason), open_pack(path):
        pytest.fail("was opened")
    assert list(tmp_path.rglob("*evil*")) == [] and list(temporary.iterdir()) == []


def test_a_name_with_a_nul_is_judged_as_it_is_stored(tmp_path):
    # zipfile cuts names at a NUL: the entry must not pass under its short name.
    path = hostile(tmp_path / "h.zip", [("good_x", b"1")], listed={"good": b"1"})
    path.write_bytes(path.read_bytes().replace(b"good_x", b"good\0x"))
    with pytest.raises(UserError, match="plain file name"), open_pack(path):
        pytest.fail("was opened")


@pytest.mark.parametrize(
    ("attr", "reason"), [(stat.S_IFLNK | 0o777, "is a link"), (stat.S_IFIFO | 0o644, "not a plain file")]
)
def test_links_and_devices_are_refused(tmp_path, attr, reason):
    path = hostile(tmp_path / "h.zip", [("model.pth", b"/etc/passwd")], attr=attr)
    with pytest.raises(UserError, match=reason), open_pack(path):
        pytest.fail("was opened")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["model.pth", "Model.PTH"])
def test_a_name_twice_is_refused(tmp_path, second):
    path = hostile(tmp_path / "h.zip", [("model.pth", b"1"), (second, b"2")])
    with pytest.raises(UserError, match="there twice"), open_pack(path):
        pytest.fail("was opened")


def test_manifest_and_content_must_agree(tmp_path):
    extra = hostile(tmp_path / "1.zip", [("a", b"1"), ("b", b"2")], listed={"a": b"1"})
    with pytest.raises(UserError, match="not in its manifest: b"), open_pack(extra):
        pytest.fail("was opened")
    less = hostile(tmp_path / "2.zip", [("a", b"1")], listed={"a": b"1", "b": b"2"})
    with pytest.raises(UserError, match="lacks files of its manifest: b"), open_pack(less):
        pytest.fail("was opened")
    other = hostile(tmp_path / "3.zip", [("a", b"1")], listed={"a": b"one"})
    with pytest.raises(UserError, match="checksum of 'a'"), open_pack(other):
        pytest.fail("was opened")


def test_bombs_are_refused_before_unpacking(tmp_path):
    path = hostile(tmp_path / "h.zip", [("zeros", bytes(5_000_000))])
    assert path.stat().st_size < 50_000
    with pytest.raises(UserError, match="would unpack to"), open_pack(path, max_bytes=1_000_000):
        pytest.fail("was opened")
    with open_pack(path) as folder:
        assert (folder / "zeros").stat().st_size == 5_000_000


def test_other_files_get_a_sentence(tmp_path, files):
    (tmp_path / "text.zip").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "plain.zip", "w") as archive:
        archive.writestr("a", "1")
    write_pack(tmp_path / "cut.zip", files)
    whole = (tmp_path / "cut.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "flip.zip").write_bytes(whole.replace(b"alpha", b"alphA"))
    for name, reason in (
        ("gone.zip", "found nothing"),
        ("text.zip", "not a zip file"),
        ("plain.zip", "not an evc2 pack"),
        ("cut.zip", "not a zip file"),
        ("flip.zip", "damaged|checksum"),
    ):
        with pytest.raises(UserError, match=reason), open_pack(tmp_path / name):
            pytest.fail("was opened")


def test_newer_version_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "v.zip", "w") as archive:
        archive.writestr("manifest.json", json.dumps({"format": "evc2-pack", "version": 9, "files": {}}))
    with pytest.raises(UserError, match="version 9, this program reads version 1"), open_pack(tmp_path / "v.zip"):
        pytest.fail("was opened")
