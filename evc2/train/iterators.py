"""Which utterances make which batch: orders that depend on (seed, epoch) alone and can start in the middle."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations, islice
from typing import Any

import numpy as np
import torch
from espnet2.iterators.abs_iter_factory import AbsIterFactory

from evc2.errors import UserError

Plan = Callable[[int], list[list[Any]]]


class EVCIterFactory(AbsIterFactory):
    """Batches of an epoch from a plan; ``start`` leaves out those that were used before an interruption.

    Args:
        dataset: answers the requests that the plan names.
        plan: epoch -> batches of requests of this process.
        collate_fn: items -> (names, batch).
        trials: conversion trials for validation (None: none).
    """

    def __init__(
        self,
        dataset: torch.utils.data.Dataset,
        plan: Plan,
        collate_fn: Callable[..., Any],
        num_workers: int = 0,
        pin_memory: bool = False,
        trials: Any = None,
    ):
        self.dataset, self.plan, self.collate_fn, self.trials = dataset, plan, collate_fn, trials
        self.num_workers, self.pin_memory = num_workers, pin_memory

    def build_iter(self, epoch: int, shuffle: bool | None = None, start: int = 0) -> Iterator[Any]:
        """Iterate over the batches of this epoch from number ``start`` (0: the first)."""
        batches = self.plan(epoch)[start:]
        if self.num_workers == 0:  # a DataLoader without workers costs more than the crops themselves
            return (self.collate_fn([self.dataset[r] for r in requests]) for requests in batches)
        return iter(
            torch.utils.data.DataLoader(
                self.dataset,
                batch_sampler=batches,
                num_workers=self.num_workers,
                collate_fn=self.collate_fn,
                pin_memory=self.pin_memory,
            )
        )


def shard(batches: list[list[Any]], rank: int, world: int) -> list[list[Any]]:
    """The part of every batch that this process works on; the batch size is the global one."""
    if world > 1 and any(len(b) < world for b in batches):
        raise UserError(f"batch_size is smaller than the {world} processes; use at least {world}")
    return [b[rank::world] for b in batches] if world > 1 else batches


def draws(utts: Sequence[str], count: int, rng: np.random.Generator) -> list[tuple[str, int]]:
    """Draw ``count`` utterances, each pass over all of them in a new order; with each, how often it came before."""
    passes = -(-count // len(utts))
    return [(utts[i], n) for n in range(passes) for i in rng.permutation(len(utts))][:count]


def pair_plan(
    domains: Mapping[str, Sequence[str]], iters: int, batch_size: int, seed: int, train: bool, rank: int, world: int
) -> Plan:
    """Unpaired halves from two domains, equally many from both however large each is.

    Of more than two domains, every batch is of one pair; all pairs take turns, in a new order each time. Validation
    goes in a fixed order, with crops fixed by the utterance, once over the larger domain of each pair of neighbours
    (of two domains: that pair; of more: the ring of them).
    """
    names = list(domains)
    for name, utts in domains.items():
        if not utts:
            raise UserError(f"no utterance of the emotion {name!r} in the data; check utt2emo and the domains")
    pairs = list(combinations(range(len(names)), 2))
    ring = pairs if len(names) == 2 else [tuple(sorted((i, (i + 1) % len(names)))) for i in range(len(names))]

    def training(epoch: int) -> list[list[tuple[str, str, str, tuple[int, int]]]]:
        rng = np.random.default_rng([seed, epoch])
        order = [pairs[0]] * iters
        if len(pairs) > 1:
            order = [pair for _ in range(-(-iters // len(pairs))) for pair in rng.permutation(pairs).tolist()][:iters]
        uses = [sum(i in pair for pair in order) * batch_size for i in range(len(names))]
        drawn = [iter(draws(domains[name], count, rng)) for name, count in zip(names, uses, strict=True)]
        batches = []
        for a, b in order:
            halves = zip(islice(drawn[a], batch_size), islice(drawn[b], batch_size), strict=True)
            batches.append([(u, v, f"{seed} {epoch} {n} {m}", (a, b)) for (u, n), (v, m) in halves])
        return batches

    def validation() -> list[list[tuple[str, str, str, tuple[int, int]]]]:
        batches = []
        for a, b in ring:
            left, right = domains[names[a]], domains[names[b]]
            count = max(len(left), len(right))
            items = [(left[i % len(left)], right[i % len(right)], "", (a, b)) for i in range(count)]
            items += items[: -count % min(world, count)] if world > 1 else []
            batches += [items[i : i + batch_size] for i in range(0, len(items), batch_size)]
        return [batch for batch in batches if len(batch) >= world]

    return lambda epoch: shard(training(epoch) if train else validation(), rank, world)


def set_plan(
    domains: Mapping[str, Mapping[str, int]], iters: int, batch_size: int, seed: int, train: bool, rank: int, world: int
) -> Plan:
    """Items of one crop from every domain, whose utterances are drawn in proportion to their frames.

    Validation goes in a fixed order, with crops fixed by the utterance, once over the largest domain.

    Args:
        domains: the frames of every utterance of each domain.
        iters: batches an epoch.
    """
    names = [sorted(utts) for utts in domains.values()]
    shares = [np.array([utts[u] for u in sorted(utts)], dtype=float) for utts in domains.values()]

    def plan(epoch: int) -> list[list[tuple[tuple[str, ...], str]]]:
        if train:
            rng, count = np.random.default_rng([seed, epoch]), iters * batch_size
            drawn = [rng.choice(len(p), count, p=p / p.sum()) for p in shares]
        else:
            count = max(map(len, names))
            drawn = [np.arange(count) % len(utts) for utts in names]
        keys = [f"{seed} {epoch} {n}" if train else "" for n in range(count)]
        columns = ([utts[i] for i in chosen] for utts, chosen in zip(names, drawn, strict=True))
        items = list(zip(zip(*columns, strict=True), keys, strict=True))
        batches = [items[i : i + batch_size] for i in range(0, count, batch_size)]
        return shard([batch for batch in batches if train or len(batch) >= world], rank, world)

    return plan


def single_plan(
    batches: list[list[str]], iters: int | None, seed: int, train: bool, rank: int, world: int, crops: bool
) -> Plan:
    """Batches of single utterances as an espnet2 batch sampler made them, in a new order every epoch when training.

    Args:
        iters: batches an epoch (None: all of them once).
        crops: requests carry the seed of a crop beside the name.
    """

    def plan(epoch: int) -> list[list[Any]]:
        chosen = batches
        if train:
            count = iters or len(batches)
            first = (epoch - 1) * count  # epochs go on through the passes where the one before stopped
            order: list[int] = []
            for number in range(first // len(batches), (first + count - 1) // len(batches) + 1):
                order += np.random.default_rng([seed, number]).permutation(len(batches)).tolist()
            offset = first % len(batches)
            chosen = [batches[i] for i in order[offset : offset + count]]
        chosen = shard(chosen, rank, world)
        if not crops:
            return chosen
        key = f"{seed} {epoch} " if train else ""
        return [[(utt, f"{key}{n}" if train else "") for utt in batch] for n, batch in enumerate(chosen)]

    return plan


def length_plan(
    lengths: Mapping[str, int], iters: int | None, batch_size: int, seed: int, train: bool, rank: int, world: int
) -> Plan:
    """Batches of utterances of about one length, made up anew in every pass; validation goes once over all, by length.

    Args:
        lengths: of every utterance.
        iters: batches an epoch (None: as many as make one pass); epochs go on where the one before stopped.
    """
    utts = sorted(lengths)
    by_length = sorted(utts, key=lambda utt: (lengths[utt], utt))
    size = -(-len(utts) // batch_size)

    def one_pass(number: int) -> list[list[str]]:
        rng = np.random.default_rng([seed, number])
        order = [utts[i] for i in rng.permutation(len(utts))]
        batches = []
        for i in range(0, len(order), 8 * batch_size):  # sorted in groups, so that mates differ from pass to pass
            group = sorted(order[i : i + 8 * batch_size], key=lambda utt: lengths[utt])
            batches += [group[j : j + batch_size] for j in range(0, len(group), batch_size)]
        return [batches[i] for i in rng.permutation(len(batches))]

    def plan(epoch: int) -> list[list[str]]:
        if not train:
            chosen = [by_length[i : i + batch_size] for i in range(0, len(by_length), batch_size)]
            return shard([batch for batch in chosen if len(batch) >= world], rank, world)
        count = iters or size
        first = (epoch - 1) * count
        flow = (b for number in range(first // size, (first + count - 1) // size + 1) for b in one_pass(number))
        chosen = list(islice(flow, first % size, first % size + count))
        return shard([batch for batch in chosen if len(batch) >= world], rank, world)

    return plan


def drawn_plan(
    utts: Sequence[str], iters: int | None, batch_size: int, seed: int, train: bool, rank: int, world: int
) -> Plan:
    """Batches of crops whose members are drawn anew every epoch, so that a batch mixes speakers whatever the order.

    Args:
        utts: all utterances, in any fixed order.
        iters: batches an epoch (None: as many as make one pass). Validation goes once over all.
    """

    def plan(epoch: int) -> list[list[tuple[str, str]]]:
        requests = [(utt, "") for utt in utts]
        if train:
            count = (iters or -(-len(utts) // batch_size)) * batch_size
            drawn = draws(utts, count, np.random.default_rng([seed, epoch]))
            requests = [(utt, f"{seed} {epoch} {n}") for utt, n in drawn]
        chosen = [requests[i : i + batch_size] for i in range(0, len(requests), batch_size)]
        return shard([batch for batch in chosen if train or len(batch) >= world], rank, world)

    return plan
