"""Exact conversion between log-mels of two contracts that differ only in how a mel value is written down.

A log-mel is a spectrogram, mel filters, then a floor, a logarithm and perhaps a scale (compress() of evc2.feats.mel).
The last three can be undone and done otherwise; everything before them is another measurement of the signal, which no
arithmetic on the mel values turns into this one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.feats.mel import compress

#: Keys of the measurement itself: what differs here cannot be converted.
FIXED = (
    "rate", "n_fft", "hop", "win", "window", "center", "pad", "power", "n_mels", "fmin", "fmax", "mel_scale",
    "mel_norm",
)  # fmt: skip
#: Keys of how a value is written down, in the order in which they explain what is lost.
WRITTEN = ("floor", "floor_place", "scale", "log_base")

#: Largest error of a converted value, in nats, that counts as exact: a thousandth of a dB. It covers the rounding of
#: stored float32 values, and floors so far below the target's that they do not show.
EXACT = 1e-4


def nats(contract: FeatureContract) -> float:
    """Natural-log units of the mel value in one unit of the contract's logarithm (before its scale)."""
    ln10 = float(np.log(10.0))
    return {"e": 1.0, "10": ln10, "db": ln10 * contract.power / 20.0}[contract.log_base]


def expand(feats: np.ndarray, contract: FeatureContract) -> np.ndarray:
    """Mel values of log-mels, the inverse of :func:`evc2.feats.mel.compress`.

    Args:
        feats: [T, n_mels] log-mels.
        contract: theirs.

    Returns:
        [T, n_mels] float64, 0 or more. What compress() cut off stays so: values at the floor become the floor, and
        with a `scale` those outside it become its ends, for their former value is nowhere in the features.
    """
    value = np.asarray(feats, dtype=np.float64)
    if contract.scale != "none":
        low, high = contract.scale
        value = low + (high - low) * value
    mel = np.exp(value * nats(contract))
    return np.maximum(mel - contract.floor, 0.0) if contract.floor_place == "add" else mel


def converter(
    source: FeatureContract, target: FeatureContract, source_name: str = "features", target_name: str = "vocoder"
) -> Callable[[np.ndarray], np.ndarray]:
    """What turns log-mels of one contract into those of another.

    Converted are the base of the logarithm (e, 10, dB), `scale`, a floor to a higher one, and a floor that is added
    (``ln(mel + floor)`` can be inverted, ``ln(max(mel, floor))`` only above the floor). F0 keys do not matter.

    One thing no converter can mend: a source with a `scale` may have cut its loudest values off at the upper end.
    They stay at that end, as they would in the source's own vocoder. A target's scale cuts by its own definition.

    Args:
        source: contract of the features.
        target: contract to convert to.
        source_name, target_name: what to call them in the error message.

    Returns:
        A function [T, n_mels] -> [T, n_mels] float32. Where nothing differs it returns its argument itself.

    Raises:
        UserError: not both are mels, or a key differs that cannot be converted without loss; each is named with both
            values.
    """
    if source.kind != "mel" or target.kind != "mel":
        source.require_same(target, mine=source_name, theirs=target_name, keys=["kind"])
        raise UserError(f"only log-mels can be converted; {source_name} and {target_name} are of kind '{source.kind}'")
    different = source.differences(target, (*FIXED, *WRITTEN))
    if not different:
        return lambda feats: feats
    wrong = [key for key in FIXED if key in different]
    if not wrong and _loss(source, target) > EXACT:
        # The logarithm only decides about a loss through the scale, whose ends it gives their meaning.
        scaled = source.scale != "none" or target.scale != "none"
        wrong = [key for key in WRITTEN if key in different and (key != "log_base" or scaled)]
    if wrong:
        listing = "; ".join(
            f"{key}: {different[key][0]} ({source_name}), {different[key][1]} ({target_name})" for key in wrong
        )
        raise UserError(
            f"mels of {source_name} (contract '{source.name}') cannot be converted exactly to those of {target_name} "
            f"('{target.name}'): {listing}. Only the base of the logarithm, the scale and a higher floor can be "
            f"converted; extract the features with the contract of {target_name}, or choose another {target_name}"
        )
    return lambda feats: compress(expand(feats, source), target).astype(np.float32)


def _written(mel: float, contract: FeatureContract) -> float:
    """The mel value as the features show it: with its floor, and not below the lower end of the scale."""
    shown = mel + contract.floor if contract.floor_place == "add" else max(mel, contract.floor)
    return max(shown, _scale_end(contract))


def _scale_end(contract: FeatureContract) -> float:
    return 0.0 if contract.scale == "none" else float(np.exp(contract.scale[0] * nats(contract)))


def _lowest(contract: FeatureContract) -> float:
    """The mel value below which all look alike: 0 for an added floor that no scale cuts."""
    if contract.floor_place == "add":
        return max(0.0, _scale_end(contract) - contract.floor)
    return max(contract.floor, _scale_end(contract))


def _loss(source: FeatureContract, target: FeatureContract) -> float:
    """Largest error of a converted value in nats, what a scale cut off at its upper end left aside."""
    hidden = np.log(_written(_lowest(source), target) / _written(0.0, target))
    # A stored value is rounded to float32. An added floor much larger than the mel value magnifies that: subtracting
    # it again leaves few digits. It is worst at the lowest mel value that the target still tells from smaller ones.
    mel = _lowest(target)
    shown, span = _written(mel, source), 1.0
    value = np.log(shown) / nats(source)
    if source.scale != "none":
        span = source.scale[1] - source.scale[0]
        value = (value - source.scale[0]) / span
    rounding = 0.5 * float(np.spacing(np.float32(abs(value)))) * span * nats(source)
    return max(float(hidden), rounding * shown / _written(mel, target))
