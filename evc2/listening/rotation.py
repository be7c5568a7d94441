"""Which listener hears what: a rotation of systems over sentences, and an order of its own for every listener."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from random import Random

MOST_SHARES = 240
"""Listeners beyond this number start the rotation anew."""

_MASK = 0xFFFFFFFF


def choose[T](items: Sequence[T], number: int, of: Sequence[Callable[[T], Hashable]], rng: Random) -> list[T]:
    """Draw ``number`` items so that each property is spread evenly, the earlier properties first.

    Args:
        items: at least ``number``.
        of: properties such as the direction of a conversion or its speaker.
        rng: decides between items that are equally good.
    """
    left = rng.sample(list(items), len(items))
    counts = [Counter() for _ in of]
    chosen: list[T] = []
    while len(chosen) < number:
        best = min(left, key=lambda item: [count[prop(item)] for count, prop in zip(counts, of, strict=True)])
        left.remove(best)
        chosen.append(best)
        for count, prop in zip(counts, of, strict=True):
            count[prop(best)] += 1
    return chosen


def spread[T](items: Sequence[T], group: Callable[[T], Hashable], rng: Random) -> list[T]:
    """Order items on a circle so that those of one group are far apart (equal groups: as far as there are groups)."""
    members: dict[Hashable, list[T]] = defaultdict(list)
    for item in items:
        members[group(item)].append(item)
    placed = []
    for name in rng.sample(list(members), len(members)):
        start, own = rng.random(), rng.sample(members[name], len(members[name]))
        placed += [((i + start) / len(own), len(placed) + i, item) for i, item in enumerate(own)]
    return [item for _, _, item in sorted(placed, key=lambda place: place[:2])]


def rotation(trials: int, conditions: int) -> list[tuple[int, int]]:
    """All pairs (trial, condition), each once: any run of at most ``trials`` of them has no trial twice.

    Both indices advance together, as along the diagonals of a Latin square, so a run has all conditions about equally
    often; after the least common multiple of both numbers the diagonal is used up and the next one begins.
    """
    period = math.lcm(trials, conditions)
    return [(k % trials, (k + k // period) % conditions) for k in range(trials * conditions)]


def shares(total: int, each: int) -> list[list[int]]:
    """Cut a rotation of ``total`` items into the shares of successive listeners, ``each`` items a listener.

    Shares go round the rotation until they have come back to its start (or to MOST_SHARES), so that every item has
    been heard equally often, up to one, at any time.
    """
    each = min(each, total)
    number = min(MOST_SHARES, total // math.gcd(total, each))
    return [[(listener * each + i) % total for i in range(each)] for listener in range(number)]


def order_key(text: str) -> int:
    """32 bits of a string: FNV-1a (Fowler, Noll, Vo) with the final mixing of MurmurHash3.

    The page has the same function: a listener's order is that of ``order_key("<test id> <listener> <item>")``.
    """
    h = 0x811C9DC5
    for byte in text.encode():
        h = ((h ^ byte) * 0x01000193) & _MASK
    h = ((h ^ (h >> 16)) * 0x85EBCA6B) & _MASK
    h = ((h ^ (h >> 13)) * 0xC2B2AE35) & _MASK
    return h ^ (h >> 16)
