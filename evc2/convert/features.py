"""New features of an analysed utterance: by the system, by a model for F0, by statistics, as the options say."""

from collections.abc import Mapping

import numpy as np
import torch

from evc2.convert.options import Options
from evc2.convert.render import gaussian, gaussian_mcep, moment_pair
from evc2.errors import UserError
from evc2.feats.duration import duration_ratio
from evc2.feats.stats import Stats, moments_of
from evc2.train.abs_model import AbsEVCModel, ConversionTarget


@torch.inference_mode()
def new_features(
    model: AbsEVCModel,
    f0_model: AbsEVCModel | None,
    analysis: Mapping[str, np.ndarray],
    options: Options,
    target: ConversionTarget,
) -> dict[str, np.ndarray | None]:
    """New ``f0``, ``mcep`` and ``power`` of an utterance, as :func:`render` takes them; None: unchanged.

    Args:
        model: the system, on WORLD features.
        f0_model: what converts F0 with ``f0`` ``cwt``.
        analysis: of the source, with ``feats``, ``f0`` and ``power``.
        options: complete (with the source emotion, if the system needs it).
        target: the same for the system.
    """
    power, spectrum = options.power, options.spectrum
    power_way = power or ("network" if spectrum == "network" else getattr(model, "power", "keep"))
    simple = {"f0": options.f0 == "convert", "power": power_way == "gaussian"}
    new: dict[str, np.ndarray | None] = {"f0": None, "mcep": None, "power": None}
    given = {name: analysis[name] for name in ("feats", "f0", "power")}
    given |= {"speaker": options.speaker, "emotion": options.source_emotion}
    if spectrum == "network":
        made = model.convert(given, target)
        new["mcep"] = made["feats"]
        if simple["f0"]:  # a system may have learned its own mapping, so its F0 comes first
            new["f0"], simple["f0"] = made["f0"], False
        if power is None:
            new["power"] = made["power"]
    if options.f0 == "cwt":
        new["f0"] = f0_model.convert(given, target)["f0"]
    if spectrum == "gaussian" or any(simple.values()):
        own = moments_of(analysis["feats"], analysis["f0"], analysis["power"])
        pair = moment_pair(model.stats, options.speaker, options.source_emotion, options.emotion, own, target.speaker)
        by_statistics = gaussian(analysis, pair, **simple, intensity=target.intensity)
        new.update({name: value for name, value in by_statistics.items() if value is not None})
        if spectrum == "gaussian":
            new["mcep"] = gaussian_mcep(analysis["feats"], *pair, target.spectrum_share)
    if power_way == "keep" and new["mcep"] is not None:
        new["power"] = analysis["power"]
    return new


def time_ratio(stats: Stats, analysis: Mapping[str, np.ndarray], options: Options, seconds: float) -> float:
    """How much longer than the source the conversion is: 1 with ``duration`` ``keep``.

    Args:
        stats: of the training data, with durations.
        analysis: of the source.
        options: complete.
        seconds: length of the source.

    Raises:
        UserError: no source emotion, or statistics without durations.
    """
    if options.duration == "keep":
        return 1.0
    if options.source_emotion is None:
        raise UserError("duration scale: what is the emotion of the recording? Give the source emotion")
    own = moments_of(analysis["feats"], analysis["f0"], analysis["power"], duration=seconds)
    src, tgt = stats.pair(options.speaker, options.source_emotion, options.emotion, own)
    return duration_ratio(src, tgt, options.intensity)
