import hashlib
import io
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from evc2.bin.make_data import main as make_data
from evc2.errors import UserError
from evc2.fileio.manifest import read_manifest
from evc2.fileio.split import read_lists

LONG = "2571096893_694ce79768aaaaaaaaaaaaaaaa"  # over the 27 characters at which the published reader cuts names


@pytest.fixture
def flickr8k(local):
    return local("flickr8k")


def lay_out(folder, per_speaker=10, speakers=(4, 7, 49, 17)):
    """The corpus's own layout; speaker 4 also has an empty file and one that is not there."""
    wavs = folder / "wavs"
    wavs.mkdir(parents=True)
    to_speaker, to_caption = [], []
    for speaker in speakers:
        for i in range(per_speaker):
            image = f"{1000 + speaker}_{i:010x}" if i else f"{LONG}{speaker}"
            (wavs / f"{image}_{i % 5}.wav").write_bytes(b"x" * 100)
            to_speaker.append(f"{image}_{i % 5}.wav {speaker}")
            to_caption.append(f"{image}_{i % 5}.wav {image}.jpg #{i % 5}")
    (wavs / "empty_0.wav").write_bytes(b"x" * 44)
    to_speaker += ["empty_0.wav 4", "gone_1.wav 4"]
    (folder / "wav2spk.txt").write_text("\n".join(to_speaker) + "\n")
    (folder / "wav2capt.txt").write_text("\n".join(to_caption) + "\n")
    return to_caption


def rows_of(flickr8k, root, *options):
    flickr8k.main(["--db_root", str(root), "--manifest", str(root.parent / "m.tsv"), *options])
    return {row.utt: row for row in read_manifest(root.parent / "m.tsv")}


@pytest.mark.parametrize("inside", ["", "flickr_audio"])
def test_two_speakers(flickr8k, tmp_path, capsys, inside):
    lay_out(tmp_path / "db" / inside)
    rows = rows_of(flickr8k, tmp_path / "db", "--speakers", "4 7")
    assert len(rows) == 20 and {row.speaker for row in rows.values()} == {"4", "7"}
    row = rows[f"4-{LONG}4_0"]
    assert row.path.endswith(f"wavs/{LONG}4_0.wav") and (row.emotion, row.gender, row.text) == ("neutral", "f", "")
    log = capsys.readouterr().err
    assert "left out: 1 empty, 1 listed but not there" in log and "20 recordings of 2 speakers" in log
    assert len(rows_of(flickr8k, tmp_path / "db")) == 40


def test_captions(flickr8k, tmp_path, capsys):
    to_caption = lay_out(tmp_path / "db")
    lines = [f"{image}{n}\tA dog ,  number {k} ." for k, (_, image, n) in enumerate(map(str.split, to_caption))]
    (tmp_path / "token.txt").write_text("\n".join(lines[:-1]) + "\n")
    rows = rows_of(flickr8k, tmp_path / "db", "--captions", str(tmp_path / "token.txt"))
    assert rows[f"4-{LONG}4_0"].text == "A dog , number 0 ."
    assert sum(not row.text for row in rows.values()) == 1 and "1 recordings have no caption" in capsys.readouterr().err
    (tmp_path / "token.txt").write_text("a.jpg#0 without a tab\n")
    with pytest.raises(UserError, match=r"token.txt:1: expected `<image>"):
        rows_of(flickr8k, tmp_path / "db", "--captions", str(tmp_path / "token.txt"))
    with pytest.raises(UserError, match="expected Flickr8k.token.txt"):
        rows_of(flickr8k, tmp_path / "db", "--captions", str(tmp_path / "none.txt"))


def test_the_draw_is_a_speakers_own(flickr8k, tmp_path):
    """80/10/10 of each speaker; the same for a speaker whoever else is used, with captions or without."""
    to_caption = lay_out(tmp_path / "db", per_speaker=40)
    (tmp_path / "token.txt").write_text(
        "".join(f"{image}{n}\tSame words\n" for _, image, n in map(str.split, to_caption))
    )
    lists = []
    for options in (["--speakers", "4 7"], ["--captions", str(tmp_path / "token.txt")]):
        rows_of(flickr8k, tmp_path / "db", *options)
        command = ["--manifest", str(tmp_path / "m.tsv"), "--out", str(tmp_path / "data"), "--same_words", "false"]
        make_data([*command, "--domain_by", "speaker"])
        lists.append(read_lists(tmp_path / "data/lists"))
    for speaker in ("4-", "7-"):
        mine = [{utt: which for utt, which in found.items() if utt.startswith(speaker)} for found in lists]
        assert mine[0] == mine[1]
        assert [list(mine[0].values()).count(name) for name in ("train", "dev", "test")] == [32, 4, 4]


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("wav2spk.txt", "a.wav 4\nb.wav\n", r"wav2spk.txt:2: expected `<name>.wav <speaker>`, found 'b.wav "),
        ("wav2spk.txt", "a.wav 4\na.wav 7\n", "wav2spk.txt:2: a.wav is of speaker 4"),
        ("wav2spk.txt", "a.wav 4\n", r"no recording in wavs/ is usable \(1 listed but not there\)"),
    ],
)
def test_damaged_tables(flickr8k, tmp_path, name, text, message):
    lay_out(tmp_path / "db")
    (tmp_path / "db" / name).write_text(text)
    with pytest.raises(UserError, match=message):
        rows_of(flickr8k, tmp_path / "db")


def test_mistakes(flickr8k, tmp_path):
    lay_out(tmp_path / "db")
    with pytest.raises(UserError, match=r"there is no speaker '48' \(did you mean 4.?\?\) among 4"):
        rows_of(flickr8k, tmp_path / "db", "--speakers", "4 48")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/x.wav").write_bytes(b"x")
    with pytest.raises(UserError, match=r"expected wav2spk.txt and wavs/, found: x.wav. .*--download true"):
        rows_of(flickr8k, tmp_path / "other")
    with pytest.raises(UserError, match="--db_root is not given"):
        flickr8k.main(["--manifest", str(tmp_path / "m.tsv")])


class Archive(BaseHTTPRequestHandler):
    """Serves an archive, and from a byte on when asked so."""

    def do_GET(self):
        content, first = self.server.archive, self.headers.get("Range")
        start = int(first.removeprefix("bytes=").rstrip("-")) if first else 0
        self.server.ranges.append(start)
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start:])

    def log_message(self, *args):
        pass


def test_download_goes_on_and_is_checked(flickr8k, tmp_path):
    lay_out(tmp_path / "flickr_audio", per_speaker=3)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(tmp_path / "flickr_audio", "flickr_audio")
    with ThreadingHTTPServer(("127.0.0.1", 0), Archive) as server:
        server.archive, server.ranges = buffer.getvalue(), []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            down = tmp_path / "down"
            down.mkdir()
            (down / "flickr_audio.tar.gz.part").write_bytes(server.archive[:50])
            address = f"http://127.0.0.1:{server.server_address[1]}/x"
            command = ["--download", "true", "--address", address]
            with pytest.raises(UserError, match=f"expected md5 {flickr8k.MD5}"):
                rows_of(flickr8k, down / "flickr8k", *command)
            assert not (down / "flickr8k").exists()
            (down / "flickr_audio.tar.gz.part").write_bytes(server.archive[:50])
            server.ranges.clear()
            md5 = hashlib.md5(server.archive).hexdigest()
            assert len(rows_of(flickr8k, down / "flickr8k", *command, "--md5", md5)) == 12
            assert len(rows_of(flickr8k, down / "flickr8k", *command, "--md5", md5)) == 12
            assert server.ranges == [50]  # the second call had nothing to do
            assert len(rows_of(flickr8k, tmp_path / "unchecked/db", *command, "--md5", "none")) == 12
        finally:
            server.shutdown()
            thread.join()
