"""Anchor rows of the evaluation: what a system is compared with. No network takes part in them."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soxr

from evc2.convert.jobs import Made, utterance
from evc2.convert.render import gaussian, moment_pair, render, within_full_scale
from evc2.errors import UserError, nearest
from evc2.feats import mel, world
from evc2.feats.contract import FeatureContract
from evc2.feats.prosody import convert_power
from evc2.feats.stats import Moments, Stats, moments_of
from evc2.fileio.datadir import DataDir
from evc2.fileio.trials import Trial
from evc2.vocoder import choose_vocoder
from evc2.vocoder.abs_vocoder import AbsVocoder

#: Those made from the source by statistics, and what each of them changes.
CHANGES: dict[str, dict[str, bool]] = {
    "f0": {"f0": True},
    "f0_power": {"f0": True, "power": True},
    "f0_power_mcep": {"f0": True, "power": True, "spectrum": True},
}
ANCHORS = ("zero_effort", "analysis_synthesis", *CHANGES)

FRAME_PERIOD = 5.0
"""Milliseconds between WORLD's frames for recordings of a mel system: its own frames may be 12.5 ms apart, too far for
synthesis to follow the voice."""


def at_rate(wav: np.ndarray, rate: int, contract: FeatureContract) -> np.ndarray:
    """Samples at the contract's rate."""
    return wav if rate == contract.rate else soxr.resample(wav, rate, contract.rate)


def world_contract(contract: FeatureContract) -> FeatureContract:
    """WORLD's analysis for recordings at the rate of a mel contract, with its F0 keys and frames of ``FRAME_PERIOD``.

    The order of the coded envelope plays no part: the envelope is used as it was measured.
    """
    fft_size = 64
    while contract.f0_floor < 3.0 * contract.rate / (fft_size - 3):  # below that pitch CheapTrick's windows do not fit
        fft_size *= 2
    keys = {key: getattr(contract, key) for key in ("rate", "f0_method", "f0_floor", "f0_ceil")}
    name = f"{contract.name}_world"
    return FeatureContract.from_dict(
        {
            "name": name,
            "kind": "world",
            **keys,
            "frame_period": FRAME_PERIOD,
            "fft_size": fft_size,
            "order": fft_size // 64 + 1,
        }
    )


def mel_frame_times(frames: int, contract: FeatureContract) -> np.ndarray:
    """Seconds [frames] at the middle of each frame of a mel spectrogram."""
    side = 0 if contract.pad == "none" else (contract.n_fft - contract.hop) // 2
    middle = 0 if contract.center else contract.n_fft / 2 - side
    return (np.arange(frames) * contract.hop + middle) / contract.rate


def power_on_world(
    power: np.ndarray, pair: tuple[Moments, Moments], contract: FeatureContract, analysis: dict[str, np.ndarray]
) -> np.ndarray:
    """New ln power [T] of WORLD's frames, by the gain that statistics of a mel's power ask for.

    The two powers are not on one scale (window, bins), so a gain is carried over and never a level.

    Args:
        power: ln power [K] of the frames of the mel spectrogram.
        pair: statistics of source and target of that power.
        contract: of the mel spectrogram.
        analysis: WORLD's, frames of ``FRAME_PERIOD`` from time 0 on, with ``power`` [T].
    """
    gain = np.asarray(convert_power(power, *pair), dtype=np.float64) - power
    times = np.arange(len(analysis["power"])) * FRAME_PERIOD / 1000
    return analysis["power"] + np.interp(times, mel_frame_times(len(power), contract), gain)


def check_anchor(name: str, contract: FeatureContract) -> None:
    """UserError for an unknown anchor, or one that features of this contract have no statistics for."""
    if name not in ANCHORS:
        raise UserError(f"unknown anchor '{name}'{nearest(name, ANCHORS)}; known: {', '.join(ANCHORS)}")
    changes = CHANGES.get(name, {})
    if "spectrum" in changes and contract.kind != "world":
        raise UserError(
            f"anchor {name} needs a contract of kind 'world', '{contract.name}' is '{contract.kind}': "
            "leave it out of the anchors"
        )
    if changes and contract.kind != "world" and not contract.has_f0:
        raise UserError(
            f"anchor {name} needs F0 in the features, contract '{contract.name}' has none: add f0_method, f0_floor and "
            "f0_ceil to it and extract the features again, or leave the anchor out"
        )


def anchor(
    name: str,
    data: DataDir,
    trials: dict[str, Trial],
    stats: Stats,
    contract: FeatureContract,
    vocoder: AbsVocoder | None = None,
) -> Callable[[str], Made]:
    """What makes one trial of an anchor, for :func:`evc2.convert.jobs.run_jobs`.

    Where a trial changes the speaker, its statistics are those of the source's and of the target's speaker.

    Args:
        name: ``zero_effort`` (the source itself), ``analysis_synthesis`` (the reference through the vocoder), ``f0``,
            ``f0_power`` or ``f0_power_mcep`` (the source with log-Gaussian F0; power; mean and deviation of cepstra).
            The latter three are made by WORLD, whatever the features are.
        data: data directory with the sources and references.
        trials: trials by id.
        stats: training statistics.
        contract: features that they are of.
        vocoder: of ``analysis_synthesis``; None takes :func:`choose_vocoder`'s choice, as a conversion does.

    Raises:
        UserError: unknown anchor, one that the contract cannot serve, or a vocoder that cannot serve the contract.
    """
    check_anchor(name, contract)
    of_world = contract.kind == "world"
    if name == "analysis_synthesis" and vocoder is not None:
        from evc2.convert.checks import check_vocoder  # imports torch, which WORLD can do without

        check_vocoder(contract, vocoder)
    if name == "analysis_synthesis" and not of_world:
        vocoder = vocoder or choose_vocoder(contract)
    synthesis = world_contract(contract) if name in CHANGES and not of_world else contract

    def analyzed(utt: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], int]:
        """WORLD's analysis, the features that the statistics are of, and the number of samples."""
        wav = at_rate(*utterance(data, utt), contract)
        analysis = world.analyze(wav, synthesis, with_envelope=True)
        return analysis, analysis if of_world else mel.analyze(wav, contract), len(wav)

    def zero_effort(trial_id: str) -> Made:
        source = trials[trial_id].source
        if data.segments:  # the source is a part of a recording: the list needs a file of its own
            return utterance(data, source)
        entry = data.table("wav.scp")[source]
        return utterance(data, source) if entry.rstrip().endswith("|") else str(Path(entry))

    def analysis_synthesis(trial_id: str) -> Made:
        reference = trials[trial_id].reference
        if reference is None:
            logging.warning("%s: has no reference, so no analysis-synthesis of one", trial_id)
            return None
        if of_world:
            analysis, _, length = analyzed(reference)
            return render(analysis, contract, length)[0], contract.rate
        wav = at_rate(*utterance(data, reference), contract)
        feats = {"feats": mel.log_mel(wav, contract)}
        # As a conversion goes: one gain where the vocoder passes full scale.
        return within_full_scale(vocoder(feats, contract=contract, length=len(wav)))[0], vocoder.contract.rate

    def by_statistics(trial_id: str) -> Made:
        trial = trials[trial_id]
        analysis, feats, length = analyzed(trial.source)
        own = moments_of(feats["feats"], feats["f0"], feats["power"])
        speaker, target = data.table("utt2spk")[trial.source], trial.speaker
        other = target if target != speaker else None
        speaker = speaker if speaker in stats.speakers else None
        emotion = data.table("utt2emo")[trial.source]
        pair = moment_pair(stats, speaker, emotion, trial.emotion, own, other)
        changes = CHANGES[name]
        if of_world:
            new = gaussian(analysis, pair, **changes)
        else:
            new = gaussian(analysis, pair)
            new["power"] = power_on_world(feats["power"], pair, contract, analysis) if "power" in changes else None
        return render(analysis, synthesis, length, **new)[0], contract.rate

    return {"zero_effort": zero_effort, "analysis_synthesis": analysis_synthesis}.get(name, by_statistics)
