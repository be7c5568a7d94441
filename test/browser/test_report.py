"""The report of an evaluation, opened from disk in a real browser."""

import json

import numpy as np
import pytest

from evc2.evaluate.report import write_report
from evc2.evaluate.score import Clip
from evc2.fileio.audio import write_audio

pytestmark = pytest.mark.browser

HOSTILE = "</script><img src=x onerror=window.hacked=1>&{{data}}"
SYSTEMS = ("zero_effort", "analysis_synthesis", "mine", HOSTILE, "a_rather_long_name_of_a_system_with_many_words")
DIRECTIONS = ("neutral -> angry", "neutral -> sad", "all")
METRICS = {
    "mcd": {"unit": "dB", "better": "lower", "digits": 2, "definition": "distance", "source": "K", "range": "0 .."},
    "corr": {"unit": "", "better": "higher", "digits": 3, "definition": "r", "source": "P", "range": "-1 .. 1"},
    "gv": {"unit": "", "better": None, "digits": 2, "definition": "variance", "source": "T", "range": "0 .."},
}
#: System -> mean MCD; None where there is none.
MCD = dict(zip(SYSTEMS, (9.5, 3.25, 10.25, None, 8.0), strict=True))
SECONDS = {"source": 0.7, "target": 0.9, "zero_effort": 0.7, "analysis_synthesis": 0.9, "mine": 0.813, HOSTILE: 0.55}


def make_scores():
    cells, comparisons = [], []
    for d, direction in enumerate(DIRECTIONS):
        for k, system in enumerate(SYSTEMS):
            means = {"mcd": MCD[system] and MCD[system] + d, "corr": 0.4 - 0.2 * k, "gv": 1.0 + 0.01 * k}
            for metric, mean in means.items():
                ends = (None, None) if mean is None else (mean - 0.1, mean + 0.1)
                n = 0 if mean is None else 12 if direction == "neutral -> sad" else 30
                cell = {"n": n, "mean": mean, "low": ends[0], "high": ends[1], "enough": n >= 20}
                cells.append({"direction": direction, "system": system, "metric": metric, **cell})
        one = {"system": "mine", "other": "zero_effort", "n": 30, "mean": 0.75, "low": 0.5, "high": 1.0}
        comparisons.append({"direction": direction, "metric": "mcd", **one, "enough": True, "verdict": "worse"})
    labels = ["neutral", "happy", "sad", "angry"]
    counts = {name: [[0] * 4, [0] * 4, [0] * 4, [3, 1, 0, 26]] for name in SYSTEMS}
    return {
        "about": {"data": f"toy {HOSTILE}, 42 trials", "date": "today", "command": "x " * 200 + "y" * 300},
        "systems": list(SYSTEMS),
        "trials": {"neutral -> angry": 30, "neutral -> sad": 12, "all": 42},
        "metrics": METRICS,
        "skipped_metrics": {"utmos": "needs a package"},
        "summaries": cells,
        "comparisons": comparisons,
        "confusions": {"neural": {"labels": labels, "systems": {"neutral -> angry": counts}}},
        "problems": [{"system": HOSTILE, "trial": "t", "problem": "silent " + "z" * 200}],
        "notes": [],
    }


@pytest.fixture(scope="module")
def report(tmp_path_factory, voice):
    folder = tmp_path_factory.mktemp("report")
    audio, rows = {}, []
    trials = ("s1-angry", f"s2-sad {HOSTILE}")
    for t, trial in enumerate(trials):
        audio[trial] = {}
        for k, (name, seconds) in enumerate(SECONDS.items()):
            rate = (16000, 22050, 48000)[k % 3]
            path = folder / f"{t}-{k}.wav"
            write_audio(path, voice(seconds, rate, f0=120.0 + 40 * k), rate)
            audio[trial][name] = Clip(str(path))
        for k, system in enumerate(SYSTEMS):
            scores = {"mcd": f"{9 - k}.5", "corr": "n/a", "problem": "odd" if system == "analysis_synthesis" else ""}
            place = {"trial": trial, "system": system, "speaker": "s1", "source_emotion": "neutral", "emotion": "angry"}
            rows.append({**place, **scores})
    path = folder / "report.html"
    write_report(path, json.loads(json.dumps(make_scores())), rows, audio, trials)
    return path


def open_all(page):
    for box in page.locator("details").all():
        box.evaluate("box => { box.open = true; }")


def column(page, k=0):
    """The first column of the visible table of means."""
    return page.locator("#means .direction:not([hidden]) tbody tr").evaluate_all(
        f"rows => rows.map(row => row.children[{k}].dataset.value)"
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_nothing_overflows_and_everything_can_be_read_and_named(visit, report, look, size, scheme):
    page = visit(report, size, scheme)
    open_all(page)
    page.wait_for_timeout(200)
    assert look.overflow(page) <= 0
    ratio, text = look.contrast(page)
    assert ratio >= 4.5, (ratio, text)
    assert look.nameless(page) == []
    assert all(url.startswith(("file:", "data:")) for url in page.requests)
    assert page.evaluate("window.hacked") is None
    # The wide table scrolls in its own box, by keyboard too, and the names of the systems stay.
    if size == "phone":
        box = page.locator("#means .direction:not([hidden]) .box")
        box.focus()
        before = box.locator("tbody th").first.bounding_box()["x"]
        for _ in range(6):
            page.keyboard.press("ArrowRight")
        look.wait(page, "document.querySelector('#means .direction:not([hidden]) .box').scrollLeft > 50")
        assert box.locator("tbody th").first.bounding_box()["x"] == pytest.approx(before, abs=2)


def test_players_load_and_one_sounds_at_a_time(visit, report, look):
    page = visit(report)
    open_all(page)
    look.wait(page, "[...document.querySelectorAll('audio')].every(audio => audio.readyState >= 1)")
    found = page.locator(".card").evaluate_all(
        "cards => cards.map(card => [card.querySelector('.name').textContent, card.querySelector('audio')?.duration])"
    )
    assert len(found) == 2 * 7  # six wavs, and a system that has none
    for name, seconds in found:
        wanted = None if name.startswith("a_rather") else SECONDS[name]
        assert seconds == (None if wanted is None else pytest.approx(wanted, abs=0.01)), name
    assert "no wav for this trial" in page.locator(".card", has_text="a_rather").first.text_content()
    playing = page.evaluate(
        """async () => {
          const [first, second] = document.querySelectorAll("audio");
          await first.play();
          await second.play();
          return [first.paused, second.paused];
        }"""
    )
    assert playing == [True, False]


def test_click_into_a_picture_moves_the_player(visit, report, look):
    page = visit(report)
    picture = page.locator(".spectrogram").first  # the source: 0.7 s of 0.9 s
    look.wait(page, "document.querySelector('audio').readyState >= 1")
    box = picture.bounding_box()
    picture.click(position={"x": box["width"] / 3, "y": 30})
    look.wait(page, "Number(document.querySelector('.spectrogram .head').getAttribute('x1')) > 0")
    assert float(picture.locator(".head").get_attribute("x1")) == pytest.approx(30, abs=2)
    assert page.evaluate("document.querySelector('audio').currentTime") == pytest.approx(0.3, abs=0.02)
    contour = picture.locator(".f0").first
    assert contour.evaluate("node => getComputedStyle(node).visibility") == "visible"
    page.get_by_label("F0 contours").uncheck()
    assert contour.evaluate("node => getComputedStyle(node).visibility") == "hidden"


def test_sorting_by_mouse_and_keyboard(visit, report):
    page = visit(report)
    assert column(page) == list(SYSTEMS)
    table = page.locator("#means .direction:not([hidden]) table")
    heads = table.locator("thead th")
    button = table.get_by_role("button", name="mcd")
    scored = sorted((name for name in SYSTEMS if MCD[name] is not None), key=MCD.get)
    button.click()
    assert column(page) == [*scored, HOSTILE]  # lower is better: the best first; what has no value last
    assert heads.nth(2).get_attribute("aria-sort") == "ascending"
    button.focus()
    page.keyboard.press("Enter")
    assert column(page) == [*scored[::-1], HOSTILE]
    assert heads.nth(2).get_attribute("aria-sort") == "descending"
    # 10.25 stands above 9.5: numbers, not text
    table.get_by_role("button", name="corr").focus()
    page.keyboard.press("Space")
    assert column(page) == list(SYSTEMS)  # higher is better: descending first, and it falls from row to row
    assert [heads.nth(k).get_attribute("aria-sort") for k in range(5)] == ["none"] * 3 + ["descending", "none"]
    table.get_by_role("button", name="system").click()
    assert column(page) == [HOSTILE, *sorted(set(SYSTEMS) - {HOSTILE})]
    # In a trial the remark on a system moves with it.
    trial = page.locator(".trial").first
    trial.get_by_role("button", name="mcd").click()
    texts = trial.locator("tbody tr").all_text_contents()
    assert texts[-3].startswith("analysis_synthesis") and texts[-2] == "analysis_synthesis: odd" and len(texts) == 6


def test_directions(visit, report):
    page = visit(report)
    visible = "#means .direction:not([hidden]) h3"
    assert page.locator(visible).all_text_contents() == ["all directions 42 trials"]
    page.get_by_role("combobox", name="Direction").select_option("neutral -> sad")
    assert page.locator(visible).all_text_contents() == ["neutral → sad 12 trials"]
    assert (
        page.locator("#means .direction:not([hidden]) tbody tr")
        .first.text_content()
        .startswith("zero_effort anchor12*10.50")
    )
    assert page.locator("#confusions .direction:not([hidden])").count() == 0
    page.get_by_role("combobox", name="Direction").select_option("neutral -> angry")
    assert page.locator("#confusions .direction:not([hidden]) td.right").first.text_content() == "2687 %"


def test_bars_begin_at_zero_and_agree_with_the_figures(visit, report):
    page = visit(report, "phone")
    read = """figures => figures.map(figure => [...figure.querySelectorAll("rect")].map(
        bar => [Number(bar.getAttribute("x")), Number(bar.getAttribute("width"))]))"""
    bars = page.locator("#panels figure").evaluate_all(read)
    assert [len(panel) for panel in bars] == [4, 4, 4]  # one of five systems has no MCD
    zero = bars[0][0][0]
    assert all(x == zero for panel in bars for x, _ in panel)
    window = page.locator("#panels svg").first.bounding_box()["width"]
    assert 0 <= zero and all(x + width <= window for panel in bars for x, width in panel)
    scale = bars[0][0][1] / 9.5
    assert bars[0][1][1] == pytest.approx(3.25 * scale) and bars[2][0][1] == pytest.approx(11.5 * scale)
    page.get_by_role("combobox", name="Metric").select_option("corr")
    bars = np.array(page.locator("#panels figure").first.evaluate_all(read))[0]
    zero = bars[0, 0]
    assert bars[3, 0] < zero and bars[3].sum() == pytest.approx(zero)  # -0.2: to the left of zero
    label = page.locator("#panels svg").first.get_attribute("aria-label")
    assert "corr, neutral → angry" in label and "mine 0.000 (−0.100 to 0.100)" in label
    page.get_by_text("The same figures as a table").click()
    assert "0.000 (−0.100 to 0.100)" in page.locator("#chart-table").text_content()


def test_without_scripts_tables_and_players_are_there(visit, report):
    page = visit(report, scripts=False)
    assert page.locator("#means table").count() == 3 and page.locator("#means h3").first.is_visible()
    assert page.locator("th button").count() == 0 and not page.locator("#chart").is_visible()
    player = page.locator("audio").first
    assert player.is_visible() and player.get_attribute("src").startswith("data:audio/flac;base64,")
    assert "Scripts are off" in page.content()


def test_the_page_cannot_connect(visit, report):
    page = visit(report)
    ran = page.evaluate(
        """async () => {
          const script = document.createElement("script");
          script.textContent = "window.foreign = 1";
          document.body.append(script);
          try { await fetch("http://127.0.0.1:9/"); } catch { return [window.foreign ?? "refused"]; }
          return "connected";
        }"""
    )
    assert ran == ["refused"]
    assert any("Content Security Policy" in complaint for complaint in page.complaints)
    page.complaints.clear()  # these were wanted
