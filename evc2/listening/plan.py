"""From trials and systems to the items of a listening test."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from evc2.errors import UserError
from evc2.fileio.select import spread as evenly
from evc2.listening.conditions import NATURAL, Entry, Maker, Material
from evc2.listening.rotation import choose, rotation, shares, spread
from evc2.listening.scales import Scale

CHECKS_IN_STOCK = 6
"""Check items are made for this many listeners with other sentences; then they come again."""


@dataclass(frozen=True)
class Size:
    """How large a test is.

    Attributes:
        num_trials: trials in the test.
        per_listener: rated items a listener and kind of test, without practice and checks.
        checks, practice: attention checks and practice items a listener and kind of test.
        natural: whether natural recordings are rated too.
        seed: of all that is drawn.
    """

    num_trials: int = 20
    per_listener: int = 20
    checks: int = 1
    practice: int = 2
    natural: bool = True
    seed: int = 0


@dataclass
class Plan:
    """Items by opaque id, and who gets them.

    Attributes:
        id: of the test.
        entries: item id -> what it is.
        shares: test -> list of shares, each a sorted list of item ids, checks among them.
        practice: test -> item ids.
        notes: what a reader should know.
    """

    id: str
    entries: dict[str, Entry] = field(default_factory=dict)
    shares: dict[str, list[list[str]]] = field(default_factory=dict)
    practice: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def usable(
    materials: Sequence[Material], systems: Mapping[str, str], scales: Sequence[Scale], size: Size
) -> list[Material]:
    """The trials that can be asked about: all systems have a wav, and there is a reference where one is needed.

    Raises:
        UserError: there are fewer than ``size.num_trials``.
    """
    whole = [m for m in materials if all(m.converted.get(name) is not None for name in systems)]
    needs = [scale.name for scale in scales if scale.name != "mos"] + (["natural recordings"] if size.natural else [])
    found = [m for m in whole if m.reference is not None] if needs else whole
    if len(found) < len(materials):
        logging.warning(
            "%d of %d trials are left out: %d lack a wav of some system, %d a reference (needed for %s)",
            len(materials) - len(found), len(materials), len(materials) - len(whole), len(whole) - len(found),
            ", ".join(needs) or "nothing",
        )  # fmt: skip
    if len(found) < size.num_trials:
        raise UserError(
            f"--num_trials {size.num_trials}: only {len(found)} of {len(materials)} trials have a wav of every system"
            f"{' and a reference' if needs else ''}; ask for fewer, or give more wavs"
        )
    return found


def check_size(size: Size) -> None:
    """UserError for numbers that make no test."""
    for name, least in (("num_trials", 1), ("per_listener", 1), ("checks", 0), ("practice", 0), ("seed", 0)):
        if getattr(size, name) < least:
            raise UserError(f"--{name}: expected {least} or more, found {getattr(size, name)}")


def make_plan(
    materials: Sequence[Material],
    systems: Mapping[str, str],
    scales: Sequence[Scale],
    size: Size,
    pairs: Sequence[tuple[str, str]] | None = None,
) -> Plan:
    """Choose trials, make the items and deal them out; equal arguments give an equal plan.

    Args:
        materials: the trials with their wavs.
        systems: name -> where it comes from (as given to the command; "@reference" is natural speech).
        scales: kinds of test, in their order.
        pairs: systems to compare in the XAB test; all pairs if None.

    Raises:
        UserError: too few trials or systems for what is asked.
    """
    check_size(size)
    found = usable(materials, systems, scales, size)
    facts = [vars(size), list(systems.items()), [s.name for s in scales], [m.trial for m in found], list(pairs or ())]
    salt = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    plan = Plan(_token(salt, "test"))
    rng = Random(f"{size.seed} trials")
    chosen = choose(found, size.num_trials, (lambda m: m.direction, lambda m: m.group, lambda m: m.speaker), rng)
    chosen = spread(chosen, lambda m: m.group, rng)
    names = {m.trial for m in chosen}
    spare = [m for m in found if m.trial not in names] or chosen
    maker = Maker(systems, chosen, found, size.natural, pairs)
    for scale in scales:
        _add_test(plan, scale.name, maker, chosen, spare, size, salt)
    plan.notes += maker.notes
    return plan


def _token(salt: str, *words: object) -> str:
    return hashlib.sha256("\x1f".join([salt, *map(str, words)]).encode()).hexdigest()[:16]


def _add_test(
    plan: Plan, test: str, maker: Maker, chosen: list[Material], spare: list[Material], size: Size, salt: str
) -> None:
    counter = itertools.count()

    def put(entry: Entry) -> str:
        name = _token(salt, test, next(counter))
        plan.entries[name] = entry
        return name

    conditions = maker.conditions(test)
    wheel = [
        put(maker.item(test, "scored", chosen[t], conditions[c], flip=(t + c) % 2 == 1))
        for t, c in rotation(len(chosen), len(conditions))
    ]
    stock = _stock(maker, test, chosen, size.checks)
    checks = [put(entry) for entry in stock]
    dealt = []
    for number, share in enumerate(shares(len(wheel), size.per_listener)):
        own = [wheel[k] for k in share]
        # Sorted ids say nothing about the rotation, which would show what belongs to one system.
        dealt.append(sorted(own + _checks_for(number, own, checks, plan.entries, size.checks)))
    plan.shares[test] = dealt
    plan.practice[test] = [
        put(maker.item(test, "practice", spare[i % len(spare)], _practice(conditions, i), flip=i % 2 == 1))
        for i in range(size.practice)
    ]


def _practice(conditions: Sequence[Any], i: int) -> Any:
    """Natural speech first, then systems: practice shows how far apart things are."""
    ordered = sorted(conditions, key=lambda name: not (isinstance(name, str) and name.startswith(NATURAL)))
    return ordered[i % len(ordered)]


def _stock(maker: Maker, test: str, chosen: Sequence[Material], checks: int) -> list[Entry]:
    if not checks:
        return []
    possible = [material for material in chosen if maker.check(test, material, flip=False) is not None]
    if len(possible) < checks:
        raise UserError(
            f"--checks {checks}: the {test} test has natural recordings for {len(possible)} attention checks only; "
            "ask for fewer checks, or give trials with sources and references"
        )
    # From all around the circle, so that some are far from whatever part of it a listener hears.
    some = evenly(possible, min(len(possible), CHECKS_IN_STOCK * checks))
    stock = (maker.check(test, material, flip=i % 2 == 1) for i, material in enumerate(some))
    return [entry for entry in stock if entry is not None]


def _checks_for(
    number: int, own: Sequence[str], checks: Sequence[str], entries: Mapping[str, Entry], many: int
) -> list[str]:
    """Some checks, those first whose sentence and speaker the listener does not hear anyway."""
    heard = {entries[item].group for item in own}
    turned = [checks[(number * many + i) % len(checks)] for i in range(len(checks))]
    return sorted(turned, key=lambda item: entries[item].group in heard)[:many]
