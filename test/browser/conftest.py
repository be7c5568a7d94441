"""A real Chromium, without a window, for pages that people will open; skipped where there is none."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required",
    "--disable-audio-output",
)  # fmt: skip
PATIENCE = 90.0  # seconds: a machine that trains besides is slow
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}

#: Roles of what one can use, or must be told of, as Chromium calls them.
USABLE = {"button", "link", "checkbox", "combobox", "textbox", "slider", "radio", "region", "navigation"}
USABLE |= {"img", "image", "Audio", "DisclosureTriangle"}

#: Least contrast of all texts against the colour behind them, and where it is (WCAG 2.1, 1.4.3).
CONTRAST = """() => {
  const parse = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return [n[0], n[1], n[2], n[3] ?? 1]; };
  const over = (top, below) => top.slice(0, 3).map((c, k) => c * top[3] + below[k] * (1 - top[3]));
  const light = (rgb) => rgb.map((c) => c / 255).map((c) => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, k) => sum + c * [.2126, .7152, .0722][k], 0);
  const ground = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
  };
  let least = [99, ""];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim();
    if (!text || !node.checkVisibility() || node.closest("script, noscript, option, .hidden, symbol, .skip")) continue;
    const style = getComputedStyle(node), back = ground(node);
    const front = over(parse(node instanceof SVGElement ? style.fill : style.color), back);
    const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
    const ratio = (a + .05) / (b + .05);
    if (ratio < least[0]) least = [ratio, text];
  }
  return least;
}"""


@pytest.fixture(scope="session")
def chromium() -> Iterator:
    """The browser."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"no browser found: install one of {', '.join(PROGRAMS)}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(OPTIONS))
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium) -> Iterator[Callable]:
    """Open a page: visit(address, size="phone", scheme="dark", scripts=False). At the end no page may have complained.

    The page has two lists more: `complaints` (console errors, exceptions, failed requests) and `requests` (addresses).
    """
    contexts, pages = [], []

    def open_page(address: str | Path, size: str = "desktop", scheme: str = "light", scripts: bool = True):
        width, height = SIZES[size]
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, java_script_enabled=scripts,
            reduced_motion="reduce",
        )  # fmt: skip
        context.set_default_timeout(1000 * PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.complaints, page.requests = [], []
        page.on("console", lambda m: page.complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("requestfailed", lambda request: page.complaints.append(request.url[:100]))
        page.on("request", lambda request: page.requests.append(request.url))
        page.goto(address.as_uri() if isinstance(address, Path) else address)
        pages.append(page)
        return page

    yield open_page
    complaints = [complaint for page in pages for complaint in page.complaints]
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="session")
def look() -> SimpleNamespace:
    """Questions to a page that every page must answer well."""

    def overflow(page) -> int:
        """Pixels by which the page is wider than its window."""
        return page.evaluate("document.documentElement.scrollWidth - window.innerWidth")

    def contrast(page) -> tuple[float, str]:
        """Least contrast of a visible text, and that text."""
        return tuple(page.evaluate(CONTRAST))

    def nameless(page) -> list[str]:
        """Roles of the elements that can be used but not named by a screen reader."""
        session = page.context.new_cdp_session(page)
        nodes = session.send("Accessibility.getFullAXTree")["nodes"]
        found = [node for node in nodes if not node["ignored"] and node["role"]["value"] in USABLE]
        return [node["role"]["value"] for node in found if not node.get("name", {}).get("value")]

    def wait(page, expression: str, seconds: float = PATIENCE) -> None:
        """Until an expression is true. Playwright's own wait evaluates text within the page: policies forbid that."""
        for _ in range(int(seconds / 0.05)):
            if page.evaluate(expression):
                return
            page.wait_for_timeout(50)
        raise AssertionError(f"still not so after {seconds} s: {expression}")

    return SimpleNamespace(wait=wait, overflow=overflow, contrast=contrast, nameless=nameless)
