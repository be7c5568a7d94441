"""Anchor rows of the evaluation: what a system is compared with. No network takes part in them."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soxr

from evc2.convert.jobs import Made, utterance
from evc2.convert.render import gaussian, moment_pair, render
from evc2.errors import UserError, nearest
from evc2.feats import world
from evc2.feats.contract import FeatureContract
from evc2.feats.stats import Stats, moments_of
from evc2.fileio.datadir import DataDir
from evc2.fileio.trials import Trial

#: Those made from the source by statistics, and what each of them changes.
CHANGES: dict[str, dict[str, bool]] = {
    "f0": {"f0": True},
    "f0_power": {"f0": True, "power": True},
    "f0_power_mcep": {"f0": True, "power": True, "spectrum": True},
}
ANCHORS = ("zero_effort", "analysis_synthesis", *CHANGES)


def at_rate(wav: np.ndarray, rate: int, contract: FeatureContract) -> np.ndarray:
    """Samples at the contract's rate."""
    return wav if rate == contract.rate else soxr.resample(wav, rate, contract.rate)


def anchor(
    name: str, data: DataDir, trials: dict[str, Trial], stats: Stats, contract: FeatureContract
) -> Callable[[str], Made]:
    """What makes one trial of an anchor, for :func:`evc2.convert.jobs.run_jobs`.

    Args:
        name: ``zero_effort`` (the source itself), ``analysis_synthesis`` (the reference through WORLD), ``f0``,
            ``f0_power`` or ``f0_power_mcep`` (the source with log-Gaussian F0; power; mean and deviation of cepstra).
        data: data directory with the sources and references.
        trials: trials by id.
        stats: training statistics.
        contract: features that they are of.

    Raises:
        UserError: unknown anchor, or a contract that is not WORLD's.
    """
    if name not in ANCHORS:
        raise UserError(f"unknown anchor '{name}'{nearest(name, ANCHORS)}; known: {', '.join(ANCHORS)}")
    if name != "zero_effort" and contract.kind != "world":
        raise UserError(f"anchor {name} needs a contract of kind 'world', '{contract.name}' is '{contract.kind}'")

    def analyzed(utt: str) -> tuple[dict[str, np.ndarray], int]:
        wav = at_rate(*utterance(data, utt), contract)
        return world.analyze(wav, contract, with_envelope=True), len(wav)

    def zero_effort(trial_id: str) -> Made:
        source = trials[trial_id].source
        if data.segments:  # the source is a part of a recording: the list needs a file of its own
            return utterance(data, source)
        entry = data.table("wav.scp")[source]
        return utterance(data, source) if entry.rstrip().endswith("|") else str(Path(entry))

    def analysis_synthesis(trial_id: str) -> Made:
        if trials[trial_id].reference is None:
            logging.warning("%s: has no reference, so no analysis-synthesis of one", trial_id)
            return None
        analysis, length = analyzed(trials[trial_id].reference)
        return render(analysis, contract, length)[0], contract.rate

    def by_statistics(trial_id: str) -> Made:
        trial = trials[trial_id]
        analysis, length = analyzed(trial.source)
        own = moments_of(analysis["feats"], analysis["f0"], analysis["power"])
        speaker, target = data.table("utt2spk")[trial.source], trial.speaker
        other = target if target != speaker else None
        speaker = speaker if speaker in stats.speakers else None
        emotion = data.table("utt2emo")[trial.source]
        pair = moment_pair(stats, speaker, emotion, trial.emotion, own, other)
        return render(analysis, contract, length, **gaussian(analysis, pair, **CHANGES[name]))[0], contract.rate

    return {"zero_effort": zero_effort, "analysis_synthesis": analysis_synthesis}.get(name, by_statistics)
