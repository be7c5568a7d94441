"""Features of either kind of contract, under the names they are stored by."""

from __future__ import annotations

import numpy as np

from evc2.feats.contract import FeatureContract


def names(contract: FeatureContract) -> tuple[str, ...]:
    """What is stored of an utterance (`<name>.scp`), `feats` first."""
    return ("feats", "f0", "power") if contract.has_f0 else ("feats", "power")


def extract(
    wav: np.ndarray, contract: FeatureContract, f0_range: tuple[float, float] | None = None
) -> dict[str, np.ndarray]:
    """Extract the features of one utterance.

    Args:
        wav: [n] mono samples at the contract's rate.
        contract: what to extract.
        f0_range: (floor, ceil) in Hz of this speaker, instead of the contract's.

    Returns:
        An array for each of :func:`names`: "feats" [T, contract.dim], "f0" [T] in Hz (0 = unvoiced), "power" [T]
        (natural log); float32, equal T.

    Raises:
        UserError: an empty signal, NaN or infinity, or an impossible range.
    """
    if contract.kind == "world":
        from evc2.feats import world as analysis
    else:
        from evc2.feats import mel as analysis
    return analysis.analyze(wav, contract, f0_range)
