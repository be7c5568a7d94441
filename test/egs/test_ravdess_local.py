import hashlib
import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import ANY

import pytest

from evc2.errors import UserError
from evc2.fileio.datadir import DataDir, validate
from evc2.fileio.manifest import read_manifest
from evc2.fileio.split import read_lists

SPLITS = Path(__file__).parents[2] / "egs/ravdess/evc1/local/splits"


@pytest.fixture
def ravdess(local):
    return local("ravdess")


def lay_out(ravdess, root, actors=(3, 12), suffix=".wav"):
    for actor in actors:
        folder = root / f"Actor_{actor:02d}"
        folder.mkdir(parents=True)
        for name in ravdess.names_of(actor):
            (folder / f"{name}{suffix}").write_bytes(b"x")


def test_names(ravdess):
    names = [name for actor in range(1, 25) for name in ravdess.names_of(actor)]
    assert len(names) == len(set(names)) == 1440
    assert "03-01-01-02-01-01-01" not in names  # neutral has no strong intensity


def test_the_code_of_a_name(ravdess):
    row = ravdess.utterance("03-01-06-01-02-01-12", "x.wav")
    assert (row.utt, row.speaker, row.gender) == ("Actor_12-03-01-06-01-02-01-12", "Actor_12", "f")
    assert (row.emotion, row.intensity, row.sentence, row.repetition) == ("fearful", "normal", "dogs", "1")
    assert row.text == "Dogs are sitting by the door"
    row = ravdess.utterance("03-01-02-02-01-02-11", "x.wav")
    assert (row.emotion, row.intensity, row.text, row.gender) == ("calm", "strong", "Kids are talking by the door", "m")


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".WAV"])
def test_a_part_of_the_corpus(ravdess, tmp_path, capsys, suffix):
    lay_out(ravdess, tmp_path / "db", suffix=suffix)
    (tmp_path / f"db/Actor_12/03-01-06-01-02-01-12{suffix}").unlink()
    ravdess.main(["--db_root", str(tmp_path / "db"), "--manifest", str(tmp_path / "m.tsv")])
    log = capsys.readouterr().err
    assert "expected 24 actors, found 2; not there: 01 02 04" in log
    assert "expected 60 files an actor: Actor_12 has 59; missing: 03-01-06-01-02-01-12" in log
    rows = read_manifest(tmp_path / "m.tsv")
    assert len(rows) == 119
    assert {row.speaker for row in rows} == {"Actor_03", "Actor_12"}


def test_second_copies_songs_videos_and_leftovers(ravdess, tmp_path, caplog):
    lay_out(ravdess, tmp_path)
    lay_out(ravdess, tmp_path / "audio_speech_actors_01-24")  # as in a popular mirror
    folder = tmp_path / "Actor_03"
    for name in ("03-02-03-01-01-01-03.wav", "01-01-03-01-01-01-03.mp4", "02-01-03-01-01-01-03.mp4"):
        (folder / name).write_bytes(b"x")
    for name in ("._03-01-01-01-01-01-03.wav", "notes.txt"):
        (folder / name).write_bytes(b"x")
    (folder / "03-01-09-01-01-01-03.wav").write_bytes(b"x")  # there is no emotion 09
    rows = ravdess.read_corpus(tmp_path)
    assert len(rows) == 120
    assert not any("audio_speech_actors" in row.path for row in rows)
    expected = "left out: 1 audio files with another name, 120 second copies of a file, 3 song or video files"
    assert expected in caplog.text


def test_wrong_layout(ravdess, tmp_path):
    (tmp_path / "happy").mkdir()
    (tmp_path / "happy/1.wav").write_bytes(b"x")
    with pytest.raises(UserError, match=r"expected files like Actor_01/.*found: happy/; left out: 1 audio files"):
        ravdess.read_corpus(tmp_path)
    with pytest.raises(UserError, match="--download true"):
        ravdess.main(["--manifest", str(tmp_path / "m.tsv")])


def test_the_stored_lists_are_what_the_script_writes(local, tmp_path):
    local("ravdess", "make_splits").main(["--out", str(tmp_path)])
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.txt"))
    assert files == sorted(path.relative_to(SPLITS) for path in SPLITS.rglob("*") if path.is_file())
    for file in files:
        assert (tmp_path / file).read_bytes() == (SPLITS / file).read_bytes()


def test_the_stored_lists_keep_their_promises():
    dependent, disjoint = read_lists(SPLITS / "speaker_dependent"), read_lists(SPLITS / "speaker_disjoint")
    assert len(dependent) == len(disjoint) == 1440
    for utt, which in dependent.items():
        statement, repetition = utt.split("-")[5:7]
        assert which == "train" or repetition == "02"
        assert which != "test" or statement == "02"
        assert which != "dev" or statement == "01" and utt[6:8] in ("04", "09", "14", "19", "24")
    # These two are one recording, byte for byte.
    assert {dependent[f"Actor_07-03-01-03-01-02-0{i}-07"] for i in (1, 2)} == {"train"}
    assert list(dependent.values()).count("test") == 24 * 15 - 1
    actors = {which: {utt[6:8] for utt in disjoint if disjoint[utt] == which} for which in ("train", "dev", "test")}
    assert actors["test"] == {"09", "10", "19", "20", "23", "24"} and actors["dev"] == {"15", "16"}
    assert len(actors["train"]) == 16


class Zenodo(BaseHTTPRequestHandler):
    """Serves a record and its one file, as the archive's API does."""

    def do_GET(self):
        archive = self.server.archive
        if self.path == "/record":
            url = f"http://127.0.0.1:{self.server.server_address[1]}/content"
            checksum = "md5:" + hashlib.md5(archive).hexdigest()
            item = {"key": "Audio_Speech_Actors_01-24.zip", "size": len(archive), "checksum": checksum}
            body = json.dumps({"files": [{**item, "links": {"self": url}}]}).encode()
        else:
            self.server.fetched += 1
            body = archive
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def record(ravdess):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in ravdess.names_of(5):
            archive.writestr(f"Actor_05/{name}.wav", "x")
    with ThreadingHTTPServer(("127.0.0.1", 0), Zenodo) as server:
        server.archive, server.fetched = content.getvalue(), 0
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_download(ravdess, record, tmp_path):
    url = f"http://127.0.0.1:{record.server_address[1]}/record"
    command = ["--db_root", str(tmp_path / "down/ravdess"), "--manifest", str(tmp_path / "m.tsv")]
    command += ["--download", "true", "--record", url]
    with pytest.raises(UserError, match=f"expected md5 {'0' * 32}"):
        ravdess.main([*command, "--md5", "0" * 32])
    assert not (tmp_path / "down/ravdess").exists()
    ravdess.main(command)
    assert len(read_manifest(tmp_path / "m.tsv")) == 60
    ravdess.main(command)
    assert record.fetched == 2  # the refused one and the good one; the third call had nothing to do


def test_real_files(ravdess, real_data):
    rows = ravdess.read_corpus(real_data("ravdess"))
    assert len(rows) == 60 * len({row.speaker for row in rows})


@pytest.mark.parametrize("split", sorted(path.name for path in SPLITS.iterdir()))
def test_every_recording_is_in_one_list_of_every_split(ravdess, split):
    """The published code loses half of the corpus to file names without the statement."""
    names = [name for actor in range(1, 25) for name in ravdess.names_of(actor)]
    listed = read_lists(SPLITS / split)  # an utterance in two lists is an error there
    assert len(names) == 1440
    assert sorted(listed) == sorted(f"Actor_{name[-2:]}-{name}" for name in names)


def run_data_sh(tmp_path, *options):
    """Stage 1 on four actors, whose audio nobody opens, through local/data.sh; return its status and log."""
    words = ["--db_root", str(tmp_path / "db"), "--out", str(tmp_path / "data"), *options]
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(
        ["local/data.sh", *words], cwd=SPLITS.parents[1], env=environment, capture_output=True, text=True, timeout=100
    )
    return done.returncode, done.stderr


@pytest.fixture
def libraries(ravdess, tmp_path):
    """Four actors, and two other corpora: three LibriSpeech recordings of two speakers, three of LJSpeech's layout."""
    lay_out(ravdess, tmp_path / "db", actors=(3, 4, 9, 15))
    for name in ("103-1-0000", "103-1-0001", "1034-2-0000"):
        path = tmp_path / f"ls/sub/{name}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "ls/SPEAKERS.TXT").write_text("103 | F | x\n1034 | M | x\n")
    (tmp_path / "ls/t.tsv").write_text("103-1-0000\tOne.\nsub/103-1-0001.flac\tTwo.\n1034-2-0000\tThree.\n")
    (tmp_path / "lj/wavs").mkdir(parents=True)
    (tmp_path / "lj/metadata.csv").write_text("LJ001-0001|Four.|Four.\n")
    (tmp_path / "lj/wavs/LJ001-0001.wav").write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize("split", ["speaker_dependent", "speaker_disjoint"])
def test_unlabelled_corpora_join_the_training(libraries, split):
    assert run_data_sh(libraries, "--split", split) == (0, ANY)
    alone = {path.relative_to(libraries): path.read_bytes() for path in libraries.glob("data/*/*")}
    dbs = f"librispeech:{libraries}/ls:t.tsv,ljspeech:{libraries}/lj"
    assert run_data_sh(libraries, "--split", split, "--unlabelled_db", dbs) == (0, ANY)
    for file, content in alone.items():  # trials of the other sets, too
        if file.parts[1] != "train" and file.name != "train.txt":
            assert (libraries / file).read_bytes() == content, file
    data = DataDir(libraries / "data/train")
    validate(data.path, need=("wav.scp", "utt2spk", "spk2utt", "text", "utt2emo", "utt2intensity", "spk2gender"))
    new = {"103-1-0000": "One.", "103-1-0001": "Two.", "1034-2-0000": "Three.", "LJ001-0001": "Four."}
    before = len(alone[Path("data/train/text")].splitlines())
    assert len(data.utts) == before + len(new) and before > 100
    for utt, text in new.items():
        assert (data.table("text")[utt], data.table("utt2emo")[utt]) == (text, "other")
        assert data.table("utt2intensity")[utt] == "none"
    assert {spk: data.table("spk2gender")[spk] for spk in ("103", "1034", "LJ", "Actor_03")} == {
        "103": "f", "1034": "m", "LJ": "f", "Actor_03": "m"
    }  # fmt: skip
    assert run_data_sh(libraries, "--unlabelled_db", dbs, "--unlabelled_per_speaker", "1") == (0, ANY)
    spk2utt = DataDir(data.path).table("spk2utt")
    assert [len(spk2utt[spk].split()) for spk in ("103", "1034", "LJ")] == [1, 1, 1]


@pytest.mark.parametrize(
    "value, message",
    [
        ("librispeech", "expected CORPUS:DIR or CORPUS:DIR:TRANSCRIPTS"),
        ("libri:ls", "invalid choice: 'libri'"),
        ("librispeech:nowhere", "LibriSpeech: expected a folder at --db_root nowhere, found nothing"),
    ],
)
def test_mistakes_in_unlabelled_corpora(libraries, value, message):
    status, log = run_data_sh(libraries, "--unlabelled_db", value)
    assert status != 0 and message in log and "Traceback" not in log
    assert not (libraries / "data").exists()
