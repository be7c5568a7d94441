import hashlib
import io
import json
import stat
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from evc2.errors import UserError
from evc2.fileio.download import check_member, fetch, unpack, zenodo_file

CONTENT = bytes(range(256)) * 2000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT as /file; `cut` bytes into an answer the next connections break off."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.cuts, self.ranges, self.status, self.record, self.seen = [], True, None, b"", []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.seen.append(self.headers.get("Range"))
        if server.status:
            self.send_error(server.status)
            return
        body = server.record if self.path == "/record" else CONTENT
        start = int(self.headers["Range"][6:-1]) if server.ranges and self.headers["Range"] else 0
        if start and start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        piece = body[start:]
        if server.cuts:
            piece = piece[: server.cuts.pop(0)]
        self.wfile.write(piece)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_plain(server, tmp_path):
    path = fetch(f"{server.url}/file", tmp_path / "new/x.zip", md5=MD5.upper(), size=len(CONTENT))
    assert path.read_bytes() == CONTENT
    assert [p.name for p in path.parent.iterdir()] == ["x.zip"]
    fetch(f"{server.url}/file", path, md5=MD5)
    assert len(server.seen) == 1  # it was there
    path.write_bytes(b"damaged")
    assert fetch(f"{server.url}/file", path, md5=MD5).read_bytes() == CONTENT


def test_goes_on_after_cuts(server, tmp_path):
    server.cuts = [100_000, 50_000]
    assert fetch(f"{server.url}/file", tmp_path / "x", md5=MD5, wait=0.01).read_bytes() == CONTENT
    assert server.seen == [None, "bytes=100000-", "bytes=150000-"]


def test_the_part_survives_and_the_next_call_goes_on(server, tmp_path):
    server.cuts = [1000]
    with pytest.raises(UserError, match="run the same command again"):
        fetch(f"{server.url}/file", tmp_path / "x", md5=MD5, attempts=1)
    assert not (tmp_path / "x").exists()
    assert fetch(f"{server.url}/file", tmp_path / "x", md5=MD5, attempts=1).read_bytes() == CONTENT
    assert server.seen == [None, "bytes=1000-"]


def test_server_without_ranges(server, tmp_path):
    server.ranges = False
    (tmp_path / "x.part").write_bytes(CONTENT[:10])
    assert fetch(f"{server.url}/file", tmp_path / "x", md5=MD5).read_bytes() == CONTENT


def test_complete_part(server, tmp_path):
    (tmp_path / "x.part").write_bytes(CONTENT)
    assert fetch(f"{server.url}/file", tmp_path / "x", md5=MD5).read_bytes() == CONTENT
    (tmp_path / "x").rename(tmp_path / "x.part")
    assert fetch(f"{server.url}/file", tmp_path / "x", md5=MD5, size=len(CONTENT)).read_bytes() == CONTENT
    assert server.seen == [f"bytes={len(CONTENT)}-"]  # with a known size nobody needs to ask


def test_a_wrong_part_is_thrown_away(server, tmp_path):
    (tmp_path / "x.part").write_bytes(b"of another version")
    assert fetch(f"{server.url}/file", tmp_path / "x", md5=MD5).read_bytes() == CONTENT


def test_wrong_checksum_and_size(server, tmp_path):
    with pytest.raises(UserError, match=f"expected md5 {'0' * 32}, found {MD5}"):
        fetch(f"{server.url}/file", tmp_path / "x", md5="0" * 32)
    with pytest.raises(UserError, match=f"expected 5 bytes, found {len(CONTENT)}"):
        fetch(f"{server.url}/file", tmp_path / "x", size=5)
    assert list(tmp_path.iterdir()) == []


def test_refusals(server, tmp_path):
    server.status = 404
    with pytest.raises(UserError, match="answers 404"):
        fetch(f"{server.url}/file", tmp_path / "x", wait=0.01)
    assert len(server.seen) == 1  # no use in asking again
    server.status = 503
    with pytest.raises(UserError, match="cannot be fetched"):
        fetch(f"{server.url}/file", tmp_path / "x", attempts=3, wait=0.01)
    assert len(server.seen) == 4
    (tmp_path / "secret").write_text("s")
    for url in ((tmp_path / "secret").as_uri(), "ftp://127.0.0.1/x", "x.zip"):
        with pytest.raises(UserError, match="http or https"):
            fetch(url, tmp_path / "x")


def test_zenodo_record(server):
    item = {"key": "a.zip", "size": 7, "checksum": "md5:abc", "links": {"self": "https://x/a.zip"}}
    server.record = json.dumps({"files": [item, {"key": "b.zip"}]}).encode()
    assert zenodo_file(f"{server.url}/record", "a.zip") == ("https://x/a.zip", "abc", 7)
    with pytest.raises(UserError, match=r"no file 'a.zp' \(did you mean a.zip\?\)"):
        zenodo_file(f"{server.url}/record", "a.zp")
    server.record = b"<html>"
    with pytest.raises(UserError, match="expected a Zenodo record"):
        zenodo_file(f"{server.url}/record", "a.zip")
    server.status = 500
    with pytest.raises(UserError, match="cannot be read"):
        zenodo_file(f"{server.url}/record", "a.zip")
    with pytest.raises(UserError, match="http or https"):
        zenodo_file("file:///etc/passwd", "a.zip")


def make_zip(path, **members):
    with zipfile.ZipFile(path, "w") as stream:
        for name, content in members.items():
            stream.writestr(name, content)


def test_unpack_zip_and_tar(tmp_path):
    make_zip(tmp_path / "x.zip", **{"d/": "", "d/a.txt": "one", "b.txt": "two"})
    unpack(tmp_path / "x.zip", tmp_path / "out")
    assert (tmp_path / "out/d/a.txt").read_text() == "one" and (tmp_path / "out/b.txt").read_text() == "two"
    with pytest.raises(UserError, match="exists and is not a result"):
        unpack(tmp_path / "x.zip", tmp_path / "out")
    with tarfile.open(tmp_path / "y.tgz", "w:gz") as stream:
        item = tarfile.TarInfo("d/a.txt")
        item.size = 3
        stream.addfile(item, io.BytesIO(b"one"))
    assert (unpack(tmp_path / "y.tgz", tmp_path / "out2") / "d/a.txt").read_text() == "one"


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "a\\..\\x", "C:x", "C:/x", ""])
def test_members_that_lead_out(name, tmp_path):
    with pytest.raises(UserError, match="refused"):
        check_member("x.zip", name)


@pytest.mark.parametrize("kind", ["zip ..", "zip absolute", "zip link", "tar ..", "tar link", "tar hard", "tar fifo"])
def test_harmful_archives_leave_nothing(kind, tmp_path):
    archive, folder = tmp_path / "in" / "x", tmp_path / "in" / "deep" / "out"
    archive.parent.mkdir()
    name = {"..": "../../evil", "absolute": str(tmp_path / "evil")}.get(kind.split()[1], "evil")
    if kind.startswith("zip"):
        item = zipfile.ZipInfo(name)
        item.external_attr = (stat.S_IFLNK if kind == "zip link" else stat.S_IFREG) << 16
        with zipfile.ZipFile(archive, "w") as stream:
            stream.writestr("good", "fine")
            stream.writestr(item, "/etc/passwd")
    else:
        item = tarfile.TarInfo(name)
        item.type = {"link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "fifo": tarfile.FIFOTYPE}.get(
            kind.split()[1], tarfile.REGTYPE
        )
        item.linkname = "/etc/passwd"
        with tarfile.open(archive, "w") as stream:
            stream.addfile(tarfile.TarInfo("good"))
            stream.addfile(item)
    with pytest.raises(UserError, match="refused"):
        unpack(archive, folder)
    assert not folder.exists() and list(folder.parent.iterdir()) == []
    assert not (tmp_path / "evil").exists() and not (tmp_path / "in/evil").exists()


def test_damaged_archives(tmp_path):
    (tmp_path / "x").write_bytes(b"no archive at all")
    with pytest.raises(UserError, match="expected a zip or tar"):
        unpack(tmp_path / "x", tmp_path / "out")
    make_zip(tmp_path / "y.zip", a="content " * 50)
    data = bytearray((tmp_path / "y.zip").read_bytes())
    data[60] ^= 1  # inside the member: its checksum no longer fits
    (tmp_path / "y.zip").write_bytes(data)
    with pytest.raises(UserError, match="damaged"):
        unpack(tmp_path / "y.zip", tmp_path / "out")
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(tmp_path / "z.zip", "w") as stream:
        stream.writestr("a", "1")
        stream.writestr("a", "2")
    with pytest.raises(UserError, match="two members have one name"):
        unpack(tmp_path / "z.zip", tmp_path / "out")
    with pytest.raises(UserError, match="no such file"):
        unpack(tmp_path / "none.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()
