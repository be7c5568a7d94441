"""From an analysed utterance and its new prosody and spectrum to a waveform: shared by models and anchors."""

from collections.abc import Mapping

import numpy as np

from evc2.errors import UserError
from evc2.feats import world
from evc2.feats.contract import FeatureContract
from evc2.feats.duration import stretch, stretch_f0
from evc2.feats.prosody import convert_f0, convert_power
from evc2.feats.stats import Moments, Stats
from evc2.vocoder import build_vocoder

ENVELOPES = ("differential", "direct")
FULL_SCALE = 0.999


def new_envelope(
    sp: np.ndarray, mcep: np.ndarray, new_mcep: np.ndarray, contract: FeatureContract, envelope: str = "differential"
) -> np.ndarray:
    """Power spectrum of converted cepstra.

    Args:
        sp: measured envelope of the source [T, bins].
        mcep, new_mcep: its coded envelope and the converted one [T, order].
        contract: their definition.
        envelope: ``direct`` decodes the converted cepstra; ``differential`` multiplies the measured envelope by the
            ratio of the decoded ones, which keeps the fine structure that coding smooths away.
    """
    if envelope not in ENVELOPES:
        raise UserError(f"envelope is '{envelope}', expected one of {', '.join(ENVELOPES)}")
    decoded = world.decode(new_mcep, contract)
    if envelope == "direct":
        return decoded
    return sp * np.exp(np.log(decoded) - np.log(world.decode(mcep, contract)))


def within_full_scale(wav: np.ndarray) -> tuple[np.ndarray, float]:
    """Lower [n] by one gain where its peak passes full scale; the wav and that gain, 1 where nothing was done."""
    peak = float(np.abs(wav).max(initial=0.0))
    gain = 1.0 if peak <= 1.0 else FULL_SCALE / peak
    return (wav if gain == 1.0 else (wav * gain).astype(np.float32)), gain


def render(
    analysis: Mapping[str, np.ndarray],
    contract: FeatureContract,
    length: int,
    f0: np.ndarray | None = None,
    mcep: np.ndarray | None = None,
    power: np.ndarray | None = None,
    envelope: str = "differential",
    ratio: float = 1.0,
) -> tuple[np.ndarray, float]:
    """Synthesise an utterance with some of its features replaced; the aperiodicity stays the source's.

    Args:
        analysis: what :func:`evc2.feats.world.analyze` gives with the envelope: feats, f0, power, sp, ap.
        contract: its definition.
        length: samples wanted, before the time axis is scaled.
        f0: new F0 [T] in Hz, 0 = unvoiced; None keeps the measured one.
        mcep: new coded envelope [T, order]; None keeps the measured envelope, untouched by coding.
        power: new ln frame power [T]; None keeps what the envelope has.
        envelope: see :func:`new_envelope`.
        ratio: how much longer than the source the result is; its frames are then interpolated.

    Returns:
        float32 wav [round(length * ratio)] and the gain applied to it: 1, or less where the peak had passed full scale.
        One gain for the utterance, because clipping would be heard and a limiter would change the power that was asked
        for.
    """
    sp = analysis["sp"]
    if mcep is not None:
        sp = new_envelope(sp, analysis["feats"], mcep, contract, envelope)
    if power is not None:
        sp = sp * np.exp(np.asarray(power, dtype=np.float64) - world.frame_power(sp))[:, None]
    feats = {"f0": analysis["f0"] if f0 is None else f0, "sp": sp, "ap": analysis["ap"]}
    if ratio != 1.0:
        frames, length = scaled(len(sp), ratio), round(length * ratio)
        feats["f0"], feats["ap"] = stretch_f0(feats["f0"], frames), stretch(feats["ap"], frames)
        feats["sp"] = np.exp(stretch(np.log(sp), frames))
    wav = build_vocoder("world", contract)(feats, contract=contract, length=length)
    return within_full_scale(wav)


def scaled(frames: int, ratio: float) -> int:
    """Number of frames after scaling the time axis."""
    return max(1, round(frames * ratio))


def moment_pair(
    stats: Stats,
    speaker: str | None,
    source_emotion: str | None,
    emotion: str,
    own: Moments,
    target_speaker: str | None = None,
) -> tuple[Moments, Moments]:
    """Statistics of the source and of the target, for mappings of the log-Gaussian kind.

    Args:
        stats: training statistics.
        speaker: the source's speaker if known to them, otherwise None.
        source_emotion: emotion of the source; None takes the utterance's own moments for the source.
        emotion: target emotion.
        own: moments of the source utterance.
        target_speaker: a known speaker who is to be heard instead; None keeps the source's.

    Raises:
        UserError: an emotion or speaker without statistics.
    """
    if target_speaker is not None and target_speaker != speaker:
        known = speaker is not None and source_emotion is not None
        return (stats.get(speaker, source_emotion) if known else own), stats.get(target_speaker, emotion)
    if source_emotion is None:
        return own, stats.get(speaker, emotion)
    return stats.pair(speaker, source_emotion, emotion, own)


def gaussian_mcep(mcep: np.ndarray, src: Moments, tgt: Moments, intensity: float = 1.0) -> np.ndarray:
    """Map mean and deviation of each cepstrum but the 0th (which is energy) from source to target: [T, order].

    The linear baseline of voice conversion, without a network; ``intensity`` interpolates from the source.
    """
    mcep = np.asarray(mcep)
    moved = (mcep - src.feats_mean) / src.feats_std * tgt.feats_std + tgt.feats_mean
    new = mcep + intensity * (moved - mcep)
    new[:, 0] = mcep[:, 0]
    return new.astype(np.float32)


def gaussian(
    analysis: Mapping[str, np.ndarray],
    pair: tuple[Moments, Moments],
    f0: bool = True,
    spectrum: bool = False,
    power: bool = False,
    intensity: float = 1.0,
) -> dict[str, np.ndarray | None]:
    """New ``f0``, ``mcep`` and ``power`` by statistics alone, as :func:`render` takes them; None: not asked for."""
    src, tgt = pair
    return {
        "f0": convert_f0(analysis["f0"], src, tgt, intensity) if f0 else None,
        "mcep": gaussian_mcep(analysis["feats"], src, tgt, intensity) if spectrum else None,
        "power": convert_power(analysis["power"], src, tgt, intensity) if power else None,
    }
