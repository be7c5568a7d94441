"""The page of a listening test in a real browser: all kinds of item, at two sizes, with and without a server."""

import importlib.util
import json
import re
import threading
from pathlib import Path

import pytest

from evc2.bin.score_listening import main as score_main
from evc2.listening.answers import read_answers
from evc2.listening.definition import Definition
from evc2.listening.server import Site, make_server
from evc2.listening.store import read_store, store_path

pytestmark = pytest.mark.browser
PATIENCE_MS = 90_000  # a machine that trains besides is slow
SIZES = {"desktop": (1280, 800), "phone": (375, 667)}
_spec = importlib.util.spec_from_file_location("listening_corpora", Path(__file__).parents[1] / "listening/conftest.py")
corpora = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(corpora)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("page")
    corpus = corpora.write_corpus(root)
    words = ("--num_trials", "3", "--per_listener", "2", "--practice", "1", "--contact", "listening@example.org")
    corpora.make(corpus, root / "test", *words)
    return root / "test"


@pytest.fixture
def served(folder):
    """Address of a running server whose answers begin empty; `stop` and `start` it in between."""
    for file in folder.glob("private/answers.sqlite*"):
        file.unlink()
    running = []

    def start(port=0):
        site = Site(folder)
        server = make_server(site, port=port)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        running.append((server, site))
        return server.server_address[1]

    def stop():
        server, site = running.pop()
        server.shutdown()
        server.server_close()
        site.store.close()

    yield start, stop
    while running:
        stop()


@pytest.fixture
def open_page(chromium):
    """Open pages of a size; at the end, none may have had an error in its console, nor a failed request."""
    contexts, errors = [], []

    def open_(size="desktop", quiet=False):
        width, height = SIZES[size]
        phone = size == "phone"
        viewport = {"width": width, "height": height}
        context = chromium.new_context(viewport=viewport, has_touch=phone, is_mobile=phone, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        if not quiet:
            page.on("console", lambda m: errors.append(m.text) if m.type in ("error", "warning") else None)
            page.on("pageerror", lambda error: errors.append(str(error)))
        return page

    yield open_
    for context in contexts:
        context.close()
    assert errors == []


def begin(page, listener):
    page.get_by_label("Your id").fill(listener)
    page.get_by_label("I have read this").check()
    page.get_by_role("button", name="Begin").click()
    page.get_by_role("heading", name="Naturalness").wait_for()


def play_all(page):
    """Play every recording to its end; before, no answer may be given."""
    buttons = page.locator("button.play")
    for i in range(buttons.count()):
        assert page.get_by_role("radio").first.is_disabled()
        buttons.nth(i).click()
        page.locator("button.play").nth(i).and_(page.locator(".heard")).wait_for()


def saved(page):
    """Wait until the page says that all is saved."""
    page.locator("#saved", has_text=re.compile("^Saved$")).wait_for()


def fits(page):
    """No sideways scrolling, and nothing beyond the right edge."""
    return page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def walk(page, choose, shots=None, most=100, look=None):
    """Answer until the end; `choose(kind, item's number)` gives the radio to take. Returns screens by kind."""
    seen = {}
    for _ in range(most):
        page.wait_for_selector("h1")
        assert fits(page)
        if look:
            assert look.contrast(page)[0] >= 4.5 and look.nameless(page) == []
        title = page.locator("h1").inner_text()
        if title == "Thank you!":
            return seen
        start = page.get_by_role("button", name="Practice", exact=True)
        if start.count():
            if shots:
                shots(f"about_{title}")
            start.click()
            continue
        kind = page.locator("fieldset").get_attribute("class")
        seen[kind] = seen.get(kind, 0) + 1
        play_all(page)
        page.get_by_role("radio").nth(choose(kind, seen[kind])).check()
        if shots and seen[kind] == 2:
            shots(kind)
        page.get_by_role("button", name="Next").click()
    raise AssertionError("the test has no end")


@pytest.mark.parametrize("size", SIZES)
def test_a_listener_walks_through_all_kinds(folder, served, open_page, size, tmp_path, look):
    start, _ = served
    page = open_page(size)
    shots = lambda name: page.screenshot(path=str(tmp_path / f"{size}_{name}.png"), full_page=True)  # noqa: E731
    page.goto(f"http://127.0.0.1:{start()}/")
    assert fits(page)
    shots("welcome")
    page.get_by_role("button", name="Begin").click()
    assert "agree" in page.get_by_role("alert").inner_text()
    begin(page, f"walker-{size}")
    seen = walk(page, lambda kind, n: n % 2, shots, look=look)
    assert seen == {"mos": 4, "similarity": 4, "xab": 4}  # practice, two items, one check
    page.get_by_text("All answers are saved.").wait_for()
    shots("end")
    test = Definition.load(folder)
    numbers, answers = read_store(store_path(folder), test.id)
    listener = f"walker-{size}"
    assert {a.item for a in answers} == set(test.share(numbers[listener])) and len(answers) == 12
    assert all(a.plays == len(test.items[a.item]["audio"]) and a.seconds > 0 for a in answers)
    assert {a.value for a in answers if test.items[a.item]["test"] == "mos"} == {5, 4}


def test_the_order_is_that_of_the_definition(folder, served, open_page):
    start, _ = served
    page = open_page()
    page.goto(f"http://127.0.0.1:{start()}/")
    test = Definition.load(folder)
    for listener, number in (("anna", 0), ("b.c-d_9", 7), ("x" * 64, 12345)):
        found = page.evaluate("([a, n]) => itemsOf(a, n).map((item) => item.id)", [listener, number])
        assert found == test.order(listener, number)


def test_reload_back_and_change(folder, served, open_page):
    start, _ = served
    page = open_page()
    page.goto(f"http://127.0.0.1:{start()}/?listener=anna")
    assert page.get_by_label("Your id").input_value() == "anna"
    begin(page, "anna")
    page.get_by_role("button", name="Practice", exact=True).click()
    for _ in range(2):
        play_all(page)
        page.get_by_role("radio").first.check()
        page.get_by_role("button", name="Next").click()
    page.get_by_role("heading", name="Item 2 of 3").wait_for()
    page.reload()
    page.get_by_role("heading", name="Item 2 of 3").wait_for()
    page.get_by_role("button", name="Back").click()
    assert page.get_by_role("radio").first.is_checked()
    page.get_by_role("radio").nth(4).check()
    page.get_by_role("button", name="Next").click()
    page.get_by_role("heading", name="Item 2 of 3").wait_for()
    saved(page)
    answers = read_store(store_path(folder), Definition.load(folder).id)[1]
    assert sorted((a.value, a.changes) for a in answers) == [(1, 1), (5, 0)]


def test_by_keyboard_alone(folder, served, open_page):
    start, _ = served
    page = open_page()
    page.goto(f"http://127.0.0.1:{start()}/?listener=keys")
    for key in ("Tab", "Tab", "Space", "Tab", "Enter"):  # id, consent, Begin
        page.keyboard.press(key)
    page.get_by_role("heading", name="Naturalness").wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Practice 1 of 1").wait_for()
    page.keyboard.press("2")  # too early: nothing was heard
    page.keyboard.press("Enter")
    assert page.get_by_role("heading", name="Practice 1 of 1").is_visible()
    page.keyboard.press("p")
    page.locator("button.heard").wait_for()
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Item 1 of 3").wait_for()
    saved(page)
    (answer,) = read_store(store_path(folder), Definition.load(folder).id)[1]
    assert answer.value == 2


def test_answers_wait_while_the_server_is_away(folder, served, open_page):
    start, stop = served
    page = open_page(quiet=True)  # a failed request is what this is about
    port = start()
    page.goto(f"http://127.0.0.1:{port}/?listener=away")
    begin(page, "away")
    page.get_by_role("button", name="Practice", exact=True).click()
    play_all(page)
    page.get_by_role("radio").first.check()
    stop()
    page.get_by_role("button", name="Next").click()
    page.get_by_text("Server out of reach; 1 answers wait in this browser").wait_for()
    start(port)
    saved(page)
    assert len(read_store(store_path(folder), Definition.load(folder).id)[1]) == 1


def test_from_disk_the_answers_are_downloaded(folder, open_page, tmp_path, capsys):
    page = open_page()
    page.goto((folder / "index.html").as_uri())
    begin(page, "disk")
    walk(page, lambda kind, n: 0)
    files = []
    assert page.get_by_role("button", name="Next listener").is_disabled()
    for kind in ("JSON", "CSV"):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Download {kind}").click()
        files.append(tmp_path / download.value.suggested_filename)
        download.value.save_as(files[-1])
    test = Definition.load(folder)
    for file in folder.glob("private/answers.sqlite*"):
        file.unlink()
    left, right = (read_answers(folder, test, [file]) for file in files)
    assert left.by_listener == right.by_listener and left.numbers == right.numbers
    assert len(left.by_listener["disk"]) == 12
    score_main(["--test", str(folder), "--answers", str(files[0]), "--out", str(tmp_path / "o"), "--keep_all", "true"])
    assert "## Naturalness" in capsys.readouterr().out
    found = json.loads((tmp_path / "o" / "listening.json").read_text())
    assert {c["value"] if "value" in c else c["mean"] for c in found["cells"] if c["figure"] == "mos"} == {5.0}
    page.get_by_role("button", name="Next listener").click()
    assert page.get_by_label("Your id").input_value() == ""
