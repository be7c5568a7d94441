#!/usr/bin/env python3
"""Real-time factor of the conversion by each system, without and with its vocoder, against a plain eager form.

Without: convert() on the features of a generated recording (of emotts: on phones). With: from waveform to waveform,
features and vocoder included (of emotts: from phones). Weights are random, except the universal HiFi-GAN's. Plain, in
eager fp32: cyclegan and munit with value and gate convolutions apart; vqvae of torch's own convolutions; vaegan window
by window through the published layers; the vocoder's generator as published, weight norm in place. emotts and seq2seq
have no plain form but for the vocoder. A JSON line for each; times are of calls that take turns.
"""

import argparse
import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import yaml
from cyclegan_step import unfuse
from emotts_step import build_model, preset
from emotts_synthesis import set_durations
from feats import RATE, speech_like
from hifigan import generators
from material import CONF, EMOTIONS
from seq2seq_inference import ready_model
from side_by_side import alternate, median, report
from vaegan_convert import window_by_window
from vaegan_step import Published
from vqvae_step import with_torch_layers

from evc2.convert.evc import EVC
from evc2.feats.contract import FeatureContract
from evc2.feats.extract import extract
from evc2.feats.stats import Stats
from evc2.systems import build
from evc2.train.abs_model import AbsEVCModel, ConversionTarget
from evc2.vocoder import choose_vocoder
from evc2.vocoder.neural import ConvVocoder

PRESETS = {
    "cyclegan": "train_cyclegan.yaml",
    "munit": "train_munit.yaml",
    "vaegan": "tuning/train_vaegan_hifigan.yaml",
    "vqvae": "train_vqvae.yaml",
}
SPEAKERS = ("V1", "V2")
Run = Callable[[], Any]


def plain_vocoder(contract: FeatureContract, device: str) -> ConvVocoder:
    """The universal HiFi-GAN as it was trained, without any preparation."""
    plain, folded, _ = generators()
    vocoder = ConvVocoder(contract, folded, device)
    vocoder.net = vocoder._network = plain.eval().to(device)
    return vocoder


def build_system(name: str, wav: np.ndarray, device: str) -> AbsEVCModel:
    """A preset's model with random weights, and statistics of a recording."""
    config = yaml.safe_load((CONF / PRESETS[name]).read_text(encoding="utf-8"))
    kind = "world" if name in ("cyclegan", "munit") else "hifigan"
    contract, conf = FeatureContract.load(CONF / f"feats_{kind}.yaml"), dict(config["system_conf"])
    if name == "vaegan":
        conf |= {"domains": SPEAKERS, "generator": {**conf["generator"], "out": "tanh"}}  # the published one
    if name == "vqvae":
        conf |= {"speakers": SPEAKERS, "voices": SPEAKERS, "n_mels": contract.dim}
    torch.manual_seed(0)
    model = build(name, conf).to(device).eval()
    model.contract, model.stats = contract, Stats()
    model.check_contract()
    found = extract(wav, contract)
    for speaker in SPEAKERS:
        for emotion in EMOTIONS:
            model.stats.add(speaker, emotion, found["feats"], found.get("f0"), found.get("power"))
    return model


def plain_of(name: str, model: AbsEVCModel, device: str) -> AbsEVCModel:
    """The same with the plain form of its networks."""
    other = copy.deepcopy(model)
    if name == "vqvae":
        return with_torch_layers(other)
    if name == "vaegan":
        published = Published(other, device)
        other.convert = lambda source, target: {"feats": window_by_window(other, published, source["feats"], device)}
        return other
    return unfuse(other)


def converters(name: str, seconds: float, device: str) -> tuple[float, dict[str, dict[str, Run]]]:
    """Seconds of speech, and what to time without and with the vocoder: ours, and plain where there is such a form."""
    kind = "world" if name in ("cyclegan", "munit") else "hifigan"
    contract = FeatureContract.load(CONF / f"feats_{kind}.yaml")
    wav = speech_like(seconds * contract.rate / RATE, np.random.default_rng(0)).astype(np.float32)
    if name in ("emotts", "seq2seq"):
        return speakers_of_text(name, seconds, device)
    model, vocoders = build_system(name, wav, device), {}
    if kind == "hifigan":
        vocoders = {"ours": choose_vocoder(contract, device), "plain": plain_vocoder(contract, device)}
    runs: dict[str, dict[str, Run]] = {"without vocoder": {}, "with vocoder": {}}
    target = ConversionTarget(EMOTIONS[1], SPEAKERS[1] if kind == "hifigan" else None)
    source = {**extract(wav, contract), "speaker": SPEAKERS[0], "emotion": EMOTIONS[0]}
    spoken = {"target_speaker": SPEAKERS[1]} if kind == "hifigan" else {"emotion": EMOTIONS[1]}
    for form, one in (("plain", plain_of(name, model, device)), ("ours", model)):
        evc = EVC(one, vocoder=vocoders.get(form))
        runs["without vocoder"][form] = lambda one=one: one.convert(source, target)
        runs["with vocoder"][form] = lambda evc=evc: evc.convert(wav, contract.rate, speaker=SPEAKERS[0], **spoken)
    return seconds, runs


def speakers_of_text(name: str, seconds: float, device: str) -> tuple[float, dict[str, dict[str, Run]]]:
    """The same of the systems that speak phones, about twelve a second; plain is their vocoder alone."""
    contract, phones = FeatureContract.load(CONF / "feats_hifigan.yaml"), round(12 * seconds)
    if name == "emotts":
        model = build_model(preset("default")).to(device).eval()
        with torch.no_grad():
            set_durations(model)
        source: dict[str, Any] = {"phones": [model.tokens[2 + i % 70] for i in range(phones)]}
    else:
        model = ready_model("small", phones, seconds, device)
        feats = np.random.default_rng(0).standard_normal((round(seconds / contract.frame_seconds), 80))
        source = {"feats": feats.astype(np.float32), "speaker": "unheard"}
    target = ConversionTarget(model.emotions[0], model.speakers[1])

    def both(vocoder: ConvVocoder) -> None:
        feats = np.clip(model.convert(source, target)["feats"], -11.5, 2.0)
        vocoder({"feats": feats}, contract=contract)

    ours, plain = choose_vocoder(contract, device), plain_vocoder(contract, device)
    spoken = len(model.convert(source, target)["feats"]) * contract.frame_seconds
    alone = {"ours": lambda: model.convert(source, target)}
    return spoken, {
        "without vocoder": alone,
        "with vocoder": {"plain": lambda: both(plain), "ours": lambda: both(ours)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*PRESETS, "emotts", "seq2seq"]
    parser.add_argument("--systems", nargs="+", choices=names, default=names)
    parser.add_argument("--seconds", type=float, default=4.0, help="of speech (4)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    for name in args.systems:
        seconds, runs = converters(name, args.seconds, args.device)
        for kind, forms in runs.items():
            times = {form: median(values) / seconds for form, values in alternate(forms, args.repeats).items()}
            case = f"{name}, {kind}, {seconds:.1f} s"
            report("conversion", case, times.get("plain"), times["ours"], "RTF", device=args.device)


if __name__ == "__main__":
    main()
