"""The server: what it serves, what it refuses, and that no acknowledged answer is lost."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from evc2.errors import UserError
from evc2.listening.server import MOST_BYTES, Site, make_server
from evc2.listening.store import Store, TokenError, read_store, store_path

WAIT = 60
"""Seconds; an answer is on disk before it is acknowledged, and disks can be busy."""


def request(port, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT)
    try:
        connection.request(method, path, body, headers or {})
        reply = connection.getresponse()
        return SimpleNamespace(status=reply.status, headers=reply.headers, data=reply.read())
    finally:
        connection.close()


def post(port, path, body, kind="application/json"):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = request(port, "POST", path, data, {"Content-Type": kind})
    return reply.status, json.loads(reply.data)


@pytest.fixture
def site(made):
    site = Site(made.folder)
    server = make_server(site, port=0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield SimpleNamespace(port=server.server_address[1], test=made.test, folder=made.folder)
    server.shutdown()
    server.server_close()
    site.store.close()


def enter(site, listener="anna"):
    status, found = post(site.port, "/api/session", {"listener": listener, "consent": True})
    assert status == 200
    return {"listener": listener, "token": found["token"]}, sorted(site.test.share(found["number"]))


def value_of(site, item):
    return site.test.tests[site.test.items[item]["test"]]["choices"][0][0]


def test_pages_and_recordings(site):
    page = request(site.port, "GET", "/")
    assert page.status == 200 and b'data-server="true"' in page.data
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    audio = next(iter(site.test.items.values()))["audio"][0]
    whole = request(site.port, "GET", f"/{audio}?x=1")
    assert whole.data == (site.folder / audio).read_bytes() and whole.headers["Content-Type"] == "audio/wav"
    part = request(site.port, "GET", f"/{audio}", headers={"Range": "bytes=10-19"})
    assert (part.status, part.data) == (206, whole.data[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(whole.data)}"
    rest = request(site.port, "GET", f"/{audio}", headers={"Range": "bytes=20-"})
    assert (rest.status, rest.data) == (206, whole.data[20:])
    assert request(site.port, "GET", f"/{audio}", headers={"Range": "bytes=99999999-"}).status == 416
    head = request(site.port, "HEAD", f"/{audio}")
    assert (head.status, head.data, head.headers["Content-Length"]) == (200, b"", str(len(whole.data)))


@pytest.mark.parametrize(
    "path",
    [
        "/private/key.json", "/private/answers.sqlite", "/private/", "/private", "/audio/", "//private/key.json",
        "/audio/../private/key.json", "/audio/%2e%2e/private/key.json", "/..%2fprivate/key.json", "/./private/key.json",
        "/PRIVATE/key.json", "/audio/..%5cprivate%5ckey.json", "/../../etc/passwd", "/%2fetc%2fpasswd", "/a%00b",
        "/%ff", "/private/key.json?x", "/private/key.json/", "/api/session", "http://127.0.0.1/private/key.json",
    ],
)  # fmt: skip
def test_nothing_else_is_served(site, path):
    for method in ("GET", "HEAD"):
        reply = request(site.port, method, path)
        assert reply.status == 404 and b"expect" not in reply.data


def test_answers_are_stored_replaced_and_returned(site):
    who, items = enter(site)
    first = items[0]
    known = sorted(v for v, _ in site.test.tests[site.test.items[first]["test"]]["choices"])
    for value in known[:2]:
        body = {**who, "item": first, "value": value, "plays": 2, "seconds": 1.5}
        assert post(site.port, "/api/answer", body) == (200, {"saved": True})
    status, again = post(site.port, "/api/session", {**who, "consent": True})
    assert status == 200
    assert again["answers"] == {first: {"value": known[1], "plays": 4, "seconds": 1.5, "changes": 1}}


def test_wrong_requests(site):
    who, items = enter(site)
    mine = {**who, "item": items[0], "value": value_of(site, items[0]), "plays": 1, "seconds": 1}
    foreign = next(item for item in site.test.items if item not in items)

    def refused(status, message, path="/api/answer", **change):
        found, body = post(site.port, path, {**mine, **change})
        assert found == status and message in body["error"], body

    refused(400, "this test has no item 'nowhere'", item="nowhere")
    refused(400, "this test has no item", item=["a"])
    refused(400, "not among the items of this listener", item=foreign, value=value_of(site, foreign))
    for value in (9, -1, 2.0, True, None, "5", [5]):
        refused(400, "value: expected one of", value=value)
    for plays in (-1, 1.5, 10**9, "1", True):
        refused(400, "plays: expected a number", plays=plays)
    refused(400, "seconds: expected a number", seconds=float("nan"))
    for listener in ("", "a b", "x" * 65, "<b>", "ä", 5, None, "../x", ".x"):
        refused(400, "listener: expected 1 to 64", listener=listener)
    refused(400, "token: expected a text", token="x" * 65)
    refused(409, "in use in another browser", token="guess")
    refused(409, "in use in another browser", token=None)
    refused(409, "in use in another browser", listener="unknown")
    refused(409, "in use in another browser", "/api/session", token=None, consent=True)
    refused(403, "consent", "/api/session", listener="new")
    refused(403, "consent", "/api/session", listener="new", consent="yes")
    refused(404, "no such page", "/api/other")
    assert read_store(store_path(site.folder), site.test.id) == ({"anna": 0}, [])


def test_malformed_bodies(site):
    for body in (b"", b"{", b"\xff", b"[" * 50_000):
        assert post(site.port, "/api/answer", body) == (400, {"error": "expected JSON"})
    assert post(site.port, "/api/answer", b"[1]") == (400, {"error": "expected a JSON object, found list"})
    assert post(site.port, "/api/answer", b"{}", "text/plain")[0] == 415
    status, body = post(site.port, "/api/answer", b" " * (MOST_BYTES + 1))
    assert status == 413 and "at most 65536 bytes" in body["error"]
    chunked = http.client.HTTPConnection("127.0.0.1", site.port, timeout=WAIT)
    chunked.putrequest("POST", "/api/answer")
    chunked.putheader("Transfer-Encoding", "chunked")
    chunked.endheaders()  # no chunk follows: the server answers at once, and may have hung up before it came
    assert chunked.getresponse().status == 411
    chunked.close()
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        assert request(site.port, method, "/").status == 405


def test_two_clients_at_once(site):
    def client(name):
        who, items = enter(site, name)
        for item in items:
            answer = {**who, "item": item, "value": value_of(site, item), "plays": 1, "seconds": 2}
            assert post(site.port, "/api/answer", answer)[0] == 200
        return items

    names = [f"l{i}" for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        done = dict(zip(names, pool.map(client, names), strict=True))
    numbers, answers = read_store(store_path(site.folder), site.test.id)
    assert sorted(numbers.values()) == [0, 1, 2, 3]
    assert {name: sorted(a.item for a in answers if a.listener == name) for name in names} == done
    assert all(a.changes == 0 for a in answers)


def start(folder, *words):
    command = [sys.executable, "-m", "evc2.bin.serve_listening", "--test", str(folder), *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    line = process.stdout.readline()
    if "http://" not in line:
        return process, None
    return process, int(line.split("http://127.0.0.1:")[1].split("/")[0])


def test_kill_loses_no_acknowledged_answer(made):
    process, port = start(made.folder, "--port", "0")
    here = SimpleNamespace(port=port, test=made.test, folder=made.folder)
    acknowledged = []

    def client(name):
        who, items = enter(here, name)
        try:
            for item in items * 50:
                body = {**who, "item": item, "value": value_of(here, item), "plays": 1, "seconds": 2}
                if post(port, "/api/answer", body)[0] == 200:
                    acknowledged.append((name, item))
        except (OSError, http.client.HTTPException):
            pass  # the server is gone

    threads = [threading.Thread(target=client, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + WAIT
    while len(acknowledged) < 12 and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=WAIT)
    for thread in threads:
        thread.join(WAIT)
    assert 12 <= len(acknowledged) < 2 * 50 * len(made.test.share(0))
    process, port = start(made.folder, "--port", "0")
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=WAIT)
    assert (process.returncode, error) == (0, "") and "stopped; all answers are stored" in out
    _, answers = read_store(store_path(made.folder), made.test.id)
    assert {(a.listener, a.item) for a in answers} >= set(acknowledged)
    assert sum(a.changes + 1 for a in answers) >= len(acknowledged)


def test_port_in_use(made):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process, _ = start(made.folder, "--port", str(port))
        _, error = process.communicate(timeout=WAIT)
    assert process.returncode == 1
    assert error.strip().endswith(f"port {port} of 127.0.0.1 is in use (by a server that still runs?); choose another "
                                  "--port, or 0 for a free one")  # fmt: skip


def test_folders_that_are_no_test(made, tmp_path):
    with pytest.raises(UserError, match="expected a folder made by make_listening_test"):
        Site(tmp_path)
    with pytest.raises(UserError, match="--port: expected 0 to 65535"):
        make_server(Site(made.folder), port=70000)
    with pytest.raises(UserError, match="no address of this machine"):
        make_server(Site(made.folder), host="no.such.host.invalid")
    (made.folder / "page.js").unlink()
    with pytest.raises(UserError, match=r"page.js: no such file"):
        Site(made.folder)


def test_store_keeps_listeners_apart(tmp_path):
    store = Store(tmp_path / "a.sqlite", "test1")
    number, token = store.enter("anna", None)
    assert store.enter("anna", token) == (number, token) == (0, token)
    assert store.enter("bert", None)[0] == 1
    with pytest.raises(TokenError):
        store.enter("anna", None)
    store.close()
    assert (tmp_path / "a.sqlite").stat().st_mode & 0o77 == 0
    with pytest.raises(UserError, match="holds answers of test test1, expected test2"):
        Store(tmp_path / "a.sqlite", "test2")
    (tmp_path / "b.sqlite").write_text("something else, longer than a header of SQLite" * 9)
    with pytest.raises(UserError, match="cannot be used for the answers"):
        Store(tmp_path / "b.sqlite", "test1")
