"""Elements of HTML as text, escaped unless it was made here: ids and names are the user's and may hold anything."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

VOID = {"image", "img", "input", "line", "link", "meta", "path", "use"}
"""Elements without content, written without an end tag (those of SVG with a slash)."""


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def html(content: object) -> Html:
    """Escape text (quotes too); what is Html stays as it is, None is nothing, lists are joined."""
    if isinstance(content, Html):
        return content
    if content is None:
        return Html("")
    if isinstance(content, Iterable) and not isinstance(content, str):
        return Html("".join(html(part) for part in content))
    return Html(escape(str(content), quote=True))


def tag(name: str, *content: object, **attributes: object) -> Html:
    """An element. ``class_`` means class, ``aria_label`` aria-label; True writes a bare attribute, None and False none.

    >>> tag("td", "a < b", class_="x", data_value=3)
    '<td class="x" data-value="3">a &lt; b</td>'
    """
    words = [name]
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            words.append(key)
        elif value is not None and value is not False:
            words.append(f'{key}="{html(str(value))}"')
    start = " ".join(words)
    return Html(f"<{start}/>") if name in VOID else Html(f"<{start}>{html(content)}</{name}>")


def breakable(name: str) -> Html:
    """A name that may be broken after an underscore and nowhere else, where there is room for it."""
    return Html(html(name).replace("_", "_<wbr>"))


def table_box(label: str, *content: object, class_: str = "") -> Html:
    """A table in a box of its own that scrolls sideways, by keyboard too."""
    found = tag("table", *content, class_=class_ or None)
    return tag("div", found, class_="box", role="region", aria_label=label, tabindex="0")
