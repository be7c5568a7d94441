"""Checkpoints of ParallelWaveGAN (github.com/kan-bayashi/ParallelWaveGAN) and of espnet2's joint text2wav models.

A ParallelWaveGAN checkpoint holds ``{"model": {"generator": state dict}}``; config.yml beside it gives sizes and mel,
stats.npy or stats.h5 the mean and scale that its input is normalised with. An espnet2 model holds its vocoder under
``tts.generator.vocoder``; config.yaml beside it gives sizes and mel. HiFi-GAN and MelGAN, also multi-band, are served.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.vocoder.formats.stats import read_stats
from evc2.vocoder.formats.weights import fill, is_state_dict, old_names, read_beside, required
from evc2.vocoder.neural import ConvVocoder, check_options

#: Type in config.yml (ParallelWaveGAN) or config.yaml (espnet2) -> module of evc2.nets.
_NETS = {
    "HiFiGANGenerator": "hifigan",
    "MelGANGenerator": "melgan",
    "hifigan_generator": "hifigan",
    "melgan_generator": "melgan",
}
_JOINT = "tts.generator.vocoder."


def matches(content: Any, path: Path) -> bool:
    """Whether the content has ``model.generator``, or is a state dict of an espnet2 TTS model."""
    if not isinstance(content, Mapping):
        return False
    model = content.get("model")
    if isinstance(model, Mapping) and is_state_dict(model.get("generator")):
        return True
    return is_state_dict(content) and any(key.startswith("tts.") for key in content)


def load(
    content: Any, path: Path, contract: FeatureContract | None = None, device: str = "cpu", **conf: Any
) -> ConvVocoder:
    """The generator with its mel and its normalisation; options as of :class:`~evc2.vocoder.neural.ConvVocoder`.

    Raises:
        UserError: no or an incomplete configuration, a generator of another type, unreadable statistics, or a contract
            that cannot be converted.
    """
    check_options(conf)
    build = _published if "model" in content else _joint
    own, kind, sizes, state, stats = build(content, path)
    from importlib import import_module

    net = import_module(f"evc2.nets.{kind}").build_generator({**sizes, "use_weight_norm": False})
    core = getattr(net, "generator", net)  # the filterbank of a multi-band generator is not in the checkpoint
    fill(core, old_names(state), str(path))
    mean, scale = stats or (None, None)
    vocoder = ConvVocoder(own, net, device, mean=mean, scale=scale, **conf)
    if contract is not None:
        vocoder.adapter(contract)
    return vocoder


_Parts = tuple[FeatureContract, str, dict[str, Any], Mapping[str, Any], tuple[np.ndarray, np.ndarray] | None]


def _published(content: Mapping[str, Any], path: Path) -> _Parts:
    config = read_beside(path, "config.yml", yaml.safe_load)
    if config is None:
        raise UserError(f"{path}: a ParallelWaveGAN checkpoint needs its config.yml beside it; found none")
    where = path.parent / "config.yml"
    kind = _kind(config.get("generator_type", "ParallelWaveGANGenerator"), where)
    params = {
        # An early version wrote this key with a typing error.
        key.replace("upsample_kernal_sizes", "upsample_kernel_sizes"): value
        for key, value in required(config, "generator_params", where).items()
    }
    if config.get("sampling_rate_for_feats", config.get("sampling_rate")) != config.get("sampling_rate"):
        raise UserError(f"{where}: mel and waveform have different rates (sampling_rate_for_feats); not supported")
    if params.pop("use_causal_conv", False):
        raise UserError(f"{where}: use_causal_conv: true is not supported; only the ordinary convolutions are")
    if params.get("out_channels", 1) > 1:
        params["pqmf"] = config.get("pqmf_params") or _old_pqmf(config)
    own = _contract(
        rate=required(config, "sampling_rate", where),
        n_fft=required(config, "fft_size", where),
        hop=required(config, "hop_size", where),
        win=config.get("win_length"),
        window=config.get("window", "hann"),
        n_mels=required(config, "num_mels", where),
        fmin=config.get("fmin"),
        fmax=config.get("fmax"),
        log_base=config.get("log_base", 10.0),
        where=where,
    )
    state = {key: value for key, value in content["model"]["generator"].items() if key not in ("mean", "scale")}
    return own, kind, params, state, read_stats(path.parent, own.n_mels)


def _old_pqmf(config: Mapping[str, Any]) -> dict[str, Any]:
    """Filterbank of a multi-band generator without settings of its own: version 0.4.2 and before had other numbers."""
    version = tuple(int(n) for n in str(config.get("version", "0.1.0")).split(".")[:3] if n.isdigit())
    return {"taps": 62, "cutoff_ratio": 0.15, "beta": 9.0} if version <= (0, 4, 2) else {}


def _joint(content: Mapping[str, Any], path: Path) -> _Parts:
    state = {key.removeprefix(_JOINT): value for key, value in content.items() if key.startswith(_JOINT)}
    if not state:
        raise UserError(
            f"{path}: this espnet2 model has no vocoder that reads mels (no {_JOINT}*); VITS and JETS generate from "
            f"hidden variables and cannot serve as one"
        )
    config = read_beside(path, "config.yaml", yaml.safe_load)
    if config is None:
        raise UserError(f"{path}: an espnet2 model needs its config.yaml beside it; found none")
    where = path.parent / "config.yaml"
    tts = config.get("tts_conf") or {}
    kind = _kind(tts.get("vocoder_type", "hifigan_generator"), where)
    if config.get("feats_extract", "fbank") != "fbank":
        raise UserError(f"{where}: feats_extract: expected fbank (log-mel), found {config['feats_extract']}")
    mel = config.get("feats_extract_conf") or {}
    own = _contract(
        rate=required(mel, "fs", where),
        n_fft=mel.get("n_fft", 1024),
        hop=mel.get("hop_length", 256),
        win=mel.get("win_length"),
        window=mel.get("window", "hann"),
        n_mels=mel.get("n_mels", 80),
        fmin=mel.get("fmin", 80),
        fmax=mel.get("fmax", 7600),
        log_base=mel.get("log_base", 10.0),
        where=where,
    )
    params = {**(tts.get("vocoder_params") or {}), "in_channels": own.n_mels}
    if tts.get("use_pqmf"):
        params["pqmf"] = {k: v for k, v in (tts.get("pqmf_params") or {}).items() if k != "subbands"}
    return own, kind, params, state, _joint_stats(content, config, where)


def _joint_stats(
    content: Mapping[str, Any], config: Mapping[str, Any], where: Path
) -> tuple[np.ndarray, np.ndarray] | None:
    """Mean and scale of the global normalisation, which an espnet2 checkpoint holds as buffers."""
    if config.get("normalize", "global_mvn") is None:
        return None
    if "normalize.mean" not in content or "normalize.std" not in content:
        raise UserError(f"{where}: its mels are normalised, but the model holds no normalize.mean and normalize.std")
    mean, scale = content["normalize.mean"].numpy(), content["normalize.std"].numpy()
    used = config.get("normalize_conf") or {}
    return (
        mean if used.get("norm_means", True) else np.zeros_like(mean),
        scale if used.get("norm_vars", True) else np.ones_like(scale),
    )


def _kind(name: str, where: Path) -> str:
    if name not in _NETS:
        raise UserError(f"{where}: generator '{name}' is not supported; expected one of {', '.join(_NETS)}")
    return _NETS[name]


def _contract(
    *, log_base: float | None, win: int | None, fmin: float | None, where: Path, **mel: Any
) -> FeatureContract:
    """Contract of both projects' log-mel: magnitude, Slaney's filters, centred frames, floor 1e-10, usually log10.

    espnet2 also keeps each bin's magnitude above 1e-5, which differs in digital silence only.
    """
    if log_base not in (None, 10, 10.0):
        raise UserError(f"{where}: log_base: expected 10 or null (natural logarithm), found {log_base}")
    values = {
        **mel,
        "name": "pwg",
        "kind": "mel",
        "win": win or mel["n_fft"],
        "fmin": fmin or 0,
        "center": True,
        "pad": "reflect",
        "power": 1,
        "mel_scale": "slaney",
        "mel_norm": "slaney",
        "log_base": "e" if log_base is None else "10",
        "floor": 1e-10,
        "floor_place": "clip",
        "scale": "none",
    }
    return FeatureContract.from_dict(values, where=str(where))
