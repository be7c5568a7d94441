"""Writing a listening test: the pages, the recordings, test.json, and the key that stays private."""

from __future__ import annotations

import html
import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from evc2.errors import UserError
from evc2.fileio.atomic import write_json, write_text
from evc2.listening.definition import FORMAT, PRIVATE, VERSION
from evc2.listening.plan import Plan, Size
from evc2.listening.recordings import Recordings, common_rate
from evc2.listening.scales import Scale

PAGE_FILES = ("page.css", "session.js", "player.js", "page.js")
SERVED = 'data-server="false"'
"""In index.html; the server says true, so that the page knows where its answers go without trying."""

CONSENT = (
    "You will hear short recordings of speech, natural or made by a computer, and judge them. Some of the speech "
    "expresses strong emotions such as anger, sadness or fear.",
    "Taking part is voluntary. You may stop at any time, without giving a reason, by closing this page.",
    "Stored are: the id that you enter here, your answers, how often you played a recording, and how long an answer "
    "took. Please do not use your name or e-mail address as id.",
    "Some screens check that listeners pay attention; they have an obvious answer.",
)


@dataclass(frozen=True)
class Texts:
    """What the organiser says.

    Attributes:
        title: of the page.
        consent: paragraphs that a listener agrees to.
        contact: whom to ask, "" for nobody.
    """

    title: str = "Listening test"
    consent: Sequence[str] = CONSENT
    contact: str = ""


def definition(plan: Plan, scales: Sequence[Scale], size: Size, texts: Texts, rate: int, normalize: bool) -> dict:
    """The content of test.json, which listeners may read: nothing in it tells what is behind an item."""
    tests = []
    for scale in scales:
        words = {"name": scale.name, "title": scale.title, "question": scale.question, "help": list(scale.help)}
        words |= {"clips": list(scale.clips), "keys": list(scale.keys), "choices": [list(c) for c in scale.choices]}
        tests.append({**words, "practice": plan.practice[scale.name], "shares": plan.shares[scale.name]})
    items = {
        name: {"test": entry.test, "audio": [f"audio/{clip_name(name, i)}.wav" for i in range(len(entry.clips))]}
        for name, entry in sorted(plan.entries.items())
    }
    settings = {
        "per_listener": size.per_listener,
        "attention_checks": size.checks,
        "practice": size.practice,
        "rate": rate,
        "loudness_equalised": normalize,
    }
    head = {"format": FORMAT, "version": VERSION, "id": plan.id, "title": texts.title, "contact": texts.contact}
    return {**head, "consent": list(texts.consent), "settings": settings, "tests": tests, "items": items}


def clip_name(item: str, i: int) -> str:
    """File name without suffix of the i-th recording of an item; ids are hashes, so the name tells nothing."""
    return f"{item}{'abc'[i]}"


def key(plan: Plan, systems: Mapping[str, str], size: Size, command: str) -> dict:
    """The content of private/key.json: what every item is."""
    items = {}
    for name, entry in sorted(plan.entries.items()):
        items[name] = {
            "test": entry.test, "role": entry.role, "trial": entry.trial, "emotion": entry.emotion,
            "source_emotion": entry.source_emotion, "systems": list(entry.systems), "expect": list(entry.expect),
            "clips": [clip[0] for clip in entry.clips],
        }  # fmt: skip
    made = {"size": vars(size), "command": command, "notes": plan.notes}
    return {"test": plan.id, "systems": dict(systems), **made, "items": items}


def index(content: Mapping) -> str:
    """The text of index.html, with test.json inside it: a page opened from disk may not read a second file."""
    data = json.dumps(content, ensure_ascii=False).replace("<", "\\u003c")
    page = files("evc2.listening").joinpath("index.html").read_text(encoding="utf-8")
    return page.replace("@TITLE@", html.escape(content["title"])).replace("@TEST@", data)


def write_test(
    out: str | os.PathLike[str],
    plan: Plan,
    scales: Sequence[Scale],
    systems: Mapping[str, str],
    size: Size,
    texts: Texts,
    rate: int | None = None,
    normalize: bool = False,
    command: str = "",
) -> Path:
    """Make the folder of a test; it appears when it is complete.

    Args:
        out: a folder that is new or empty: a test with answers is never written over.
        rate: sample rate in Hz; None for the highest of the recordings.
        normalize: whether levels are made equal.

    Raises:
        UserError: the folder is not empty, or a recording cannot be used.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: expected a new or empty folder; remove it, or choose another --out")
    clips = [clip for entry in plan.entries.values() for clip in entry.clips]
    rate = rate or common_rate(clips)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}-{os.urandom(4).hex()}")
    try:
        recordings = Recordings(temporary / "audio", rate, normalize)
        for name, entry in plan.entries.items():
            for i, clip in enumerate(entry.clips):
                recordings.put(clip_name(name, i), clip)
        content = definition(plan, scales, size, texts, rate, normalize)
        write_json(temporary / "test.json", content)
        write_text(temporary / "index.html", index(content))
        for file in PAGE_FILES:
            write_text(temporary / file, files("evc2.listening").joinpath(file).read_text(encoding="utf-8"))
        (temporary / PRIVATE).mkdir(mode=0o700)
        write_json(temporary / PRIVATE / "key.json", key(plan, systems, size, command))
        if out.exists():
            out.rmdir()
        os.replace(temporary, out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    if recordings.limited:
        logging.warning("%d recordings stay below the common level, or they would be clipped", recordings.limited)
    return out
