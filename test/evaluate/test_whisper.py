"""Where a Whisper model is found, and what is said where there is none; the model itself, where one is here."""

import importlib.util
import logging
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.evaluate import whisper
from evc2.evaluate.asr import error_rate
from evc2.evaluate.normalize import normalize
from evc2.evaluate.settings import Settings

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("faster_whisper") is None, reason="tools/setup.sh --extras eval"
)
TOY = Path(__file__).parents[2] / "egs/toy/evc1/local/toy.py"


@pytest.fixture
def fresh(monkeypatch):
    """No answer of an earlier test is kept, and the hub is not asked."""
    monkeypatch.setattr(whisper, "hub_answers", lambda: False)
    whisper._find.cache_clear()
    yield
    whisper._find.cache_clear()


@pytest.fixture(scope="module")
def model():
    """A model that is here: the folder that EVC2_TEST_WHISPER names, or tiny.en in the hub's cache."""
    pytest.importorskip("faster_whisper", reason="tools/setup.sh --extras eval")
    name = os.environ.get("EVC2_TEST_WHISPER", "tiny.en")
    if whisper._find(name, download=False) is None:
        pytest.skip("set EVC2_TEST_WHISPER to a folder with a Whisper model in faster-whisper's format")
    return Settings(asr_model=name, download=False)


@pytest.fixture(scope="module")
def spoken():
    """A sentence said by the voice of the toy corpus, at 16 kHz."""
    pytest.importorskip("espeakng_loader", reason="tools/setup.sh")
    soxr = pytest.importorskip("soxr")
    spec = importlib.util.spec_from_file_location("toy", TOY)
    toy = importlib.util.module_from_spec(spec)
    sys.modules["toy"] = toy
    spec.loader.exec_module(toy)
    voice = toy.Espeak()
    text = "The dogs are sitting by the door of the house"
    wav = voice.say(text, "en-us", rate=150)
    return text, soxr.resample(np.asarray(wav, np.float32) / np.abs(wav).max() / 2, toy.RATE, 16000)


def test_the_package_is_missing(monkeypatch):
    monkeypatch.setattr(whisper, "find_spec", lambda name: None)
    line = whisper.missing(Settings())
    assert "pip install faster-whisper" in line and "\n" not in line


@needs_package
def test_no_model_is_one_line(fresh, monkeypatch):
    monkeypatch.setattr(whisper, "_of_hub", lambda name, local: None)
    for download, why in ((True, "cannot be reached"), (False, "switched off")):
        line = whisper.missing(Settings(download=download))
        assert "no Whisper model 'base.en' here" in line and why in line and "--asr_model FOLDER" in line


@needs_package
def test_english_only(fresh):
    assert "English only" in whisper.missing(Settings(language="de"))


@needs_package
@pytest.mark.parametrize(
    ("name", "message"), [("bse.en", "did you mean base.en"), ("./none/here", "found none of that name")]
)
def test_wrong_names(fresh, name, message):
    with pytest.raises(UserError, match=message):
        whisper.missing(Settings(asr_model=name))


@needs_package
def test_a_folder_without_a_model(fresh, tmp_path):
    with pytest.raises(UserError, match=r"no model\.bin"):
        whisper.missing(Settings(asr_model=str(tmp_path)))
    for name in whisper.NEEDED:
        (tmp_path / name).write_text("{}")
    whisper._find.cache_clear()
    with pytest.raises(UserError, match="expected a Whisper model in faster-whisper's format"):
        whisper.missing(Settings(asr_model=str(tmp_path)))


@needs_package
def test_a_name_of_the_list_is_no_folder(fresh, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("base.en").mkdir()
    monkeypatch.setattr(whisper, "_of_hub", lambda name, local: None)
    assert "no Whisper model 'base.en'" in whisper.missing(Settings())


@pytest.fixture
def server():
    """A server whose answers wait for an event: its address, and the event."""
    go = threading.Event()

    class Slow(BaseHTTPRequestHandler):
        def do_GET(self):
            go.wait(10)
            self.send_response(404 if "none" in self.path else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", go
    go.set()
    server.shutdown()
    server.server_close()


def test_a_hub_that_hangs_costs_little_time(server):
    address, go = server
    start = time.monotonic()
    assert not whisper.reachable(address, seconds=0.3)
    assert time.monotonic() - start < 5
    go.set()
    assert whisper.reachable(address, seconds=10)
    assert not whisper.reachable(f"{address}/none", seconds=10)


def test_an_address_that_nobody_has(caplog):
    caplog.set_level(logging.INFO)
    assert not whisper.reachable("http://127.0.0.1:1/", seconds=5)
    assert caplog.records == []


def test_hears_words_and_always_the_same(model, spoken):
    text, wav = spoken
    assert whisper.missing(model) is None
    heard = whisper.recognise(wav, model)
    assert error_rate(normalize(text), normalize(heard)) < 30
    assert whisper.recognise(wav, model) == heard
    assert error_rate(normalize(text), normalize(whisper.recognise(wav[::-1], model))) > 50


def test_nobody_speaks(model):
    assert whisper.recognise(np.zeros(0, np.float32), model) == ""
    assert whisper.recognise(np.zeros(100, np.float32), model) == ""
