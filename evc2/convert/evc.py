"""One trained system, loaded once, converting any number of recordings."""

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch

from evc2.convert.loading import check_device, fill, find_model
from evc2.convert.render import ENVELOPES, gaussian, moment_pair, render, within_full_scale
from evc2.errors import UserError, nearest
from evc2.feats import world
from evc2.feats.contract import FeatureContract
from evc2.feats.extract import extract
from evc2.feats.stats import Stats, moments_of
from evc2.fileio.audio import audio_problem
from evc2.fileio.pack import open_pack
from evc2.nets.weights import load_weights
from evc2.systems import build
from evc2.train.abs_model import AbsEVCModel, ConversionTarget
from evc2.vocoder import choose_vocoder
from evc2.vocoder.abs_vocoder import AbsVocoder

CHOICES: dict[str, tuple[str, ...]] = {
    "f0": ("convert", "keep"),
    "spectrum": ("network", "gaussian", "keep"),
    "power": ("network", "gaussian", "keep"),
    "envelope": ENVELOPES,
}


class EVC:
    """Emotional voice conversion with a trained system.

    Args:
        model: the system, with ``contract`` and ``stats`` set.
        emotions: the emotions that the model knows, for messages; None takes those of its statistics.
        vocoder: makes the sound of a system on mel spectrograms; None takes :func:`choose_vocoder`'s choice. Systems on
            WORLD features are synthesised with what was measured of the source.
    """

    def __init__(
        self, model: AbsEVCModel, emotions: list[str] | None = None, vocoder: AbsVocoder | None = None
    ) -> None:
        self.model = model.eval()
        self.contract: FeatureContract = model.contract
        self.stats: Stats = model.stats
        self.domains: tuple[str, ...] = tuple(getattr(model, "domains", ()))
        self.emotions = list(self.domains or emotions or self.stats.emotions)
        if self.contract.kind == "world" and vocoder is not None and vocoder.kind != "world":
            raise UserError(
                f"this system works on WORLD features, which only WORLD can make sound of; found a vocoder for "
                f"'{vocoder.contract.name}' mel spectrograms: leave out --vocoder"
            )
        self._vocoder = vocoder
        if vocoder is not None:
            vocoder.adapter(self.contract, theirs="model")

    @property
    def vocoder(self) -> AbsVocoder:
        """What makes the sound of mel spectrograms; chosen when it is first asked for, unless it was given."""
        if self._vocoder is None:
            self._vocoder = choose_vocoder(self.contract, str(next(self.model.parameters()).device))
        return self._vocoder

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        model_file: str | None = None,
        device: str = "cpu",
        vocoder: AbsVocoder | None = None,
    ) -> "EVC":
        """Load a model directory (exp/<tag>/<phase>) or a pack.

        Args:
            path: the directory or the .zip file.
            model_file: name of the weights in a directory; None takes the best by validation.
            device: torch device name.
            vocoder: see the class.

        Raises:
            UserError: missing, damaged or foreign files; weights that hold code; no such device.
        """
        check_device(device)
        with ExitStack() as stack:
            path = Path(path)
            if path.is_file():
                path = stack.enter_context(open_pack(path))
            files = find_model(path, model_file)
            contract = FeatureContract.from_dict(files.config["feats_contract"])
            model = build(files.config["system"], files.config["system_conf"] or {})
            fill(model, load_weights(files.weights, "cpu"), files.weights)
            model.stats = Stats.load(files.stats)
            model.contract = contract
        logging.info("model %s, %s, on %s", path, files.weights.name, device)
        labels = files.config.get("labels") or {}
        return cls(model.to(device), labels.get("emotions"), vocoder)

    def direction(self, name: str) -> tuple[str, str]:
        """(source emotion, target emotion) of ``A2B`` or ``B2A``.

        Raises:
            UserError: any other name, or a system that is not one between two emotions.
        """
        if len(self.domains) != 2:
            raise UserError(f"this system has no two domains A and B; use --emotion with {', '.join(self.emotions)}")
        if name not in ("A2B", "B2A"):
            raise UserError(f"direction is '{name}', expected A2B or B2A")
        a, b = self.domains
        return (a, b) if name == "A2B" else (b, a)

    def check(self, emotion: str, speaker: str | None = None, source_emotion: str | None = None) -> None:
        """Raise a UserError that names the known ones, where an emotion or a speaker is unknown to the model."""
        for what, value in (("emotion", emotion), ("source emotion", source_emotion)):
            if value is not None and value not in self.emotions:
                known = ", ".join(self.emotions)
                raise UserError(f"unknown {what} '{value}'{nearest(value, self.emotions)}; this model knows {known}")
        if speaker is not None and speaker not in self.stats.speakers:
            known = ", ".join(self.stats.speakers)
            raise UserError(
                f"unknown speaker '{speaker}'{nearest(speaker, self.stats.speakers)}; this model knows {known}; "
                f"leave the speaker out for any other voice"
            )

    def prepare(self, wav: np.ndarray, rate: int) -> np.ndarray:
        """Samples [n] or [n, channels] at ``rate`` to mono float32 at the contract's, exactly as long in time.

        Raises:
            UserError: empty, shorter than 0.1 s, or with NaN or infinity.
        """
        wav = np.asarray(wav, dtype=np.float32)
        wav = wav.mean(axis=1) if wav.ndim == 2 else wav
        problem = audio_problem(wav, rate)
        if problem is not None and problem.startswith("clipped"):
            logging.warning("the recording is %s; the conversion may sound harsh", problem)
        elif problem not in (None, "silent"):
            raise UserError(f"the recording cannot be converted: {problem} ({len(wav) / rate:.3f} s at {rate} Hz)")
        length = round(len(wav) * self.contract.rate / rate)
        if rate != self.contract.rate:
            wav = soxr.resample(wav, rate, self.contract.rate)
        return np.pad(wav[:length], (0, max(0, length - len(wav))))

    def convert(
        self,
        wav: np.ndarray,
        rate: int,
        emotion: str,
        speaker: str | None = None,
        source_emotion: str | None = None,
        intensity: float = 1.0,
        f0: str = "convert",
        spectrum: str = "network",
        power: str | None = None,
        envelope: str = "differential",
        target_speaker: str | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Convert one recording.

        Args:
            wav: samples [n] or [n, channels] in [-1, 1].
            rate: their rate in Hz; any.
            emotion: target emotion.
            speaker: who speaks, if among the training speakers; None for any other voice, whose own statistics are
                then moved by what the emotion changes on average.
            source_emotion: emotion of the recording; None takes the other one of a system between two.
            intensity: 0 gives the source back, 1 the full conversion; up to 2 exaggerates.
            f0: ``convert`` or ``keep``.
            spectrum: ``network``, ``gaussian`` (mean and deviation of each cepstrum, no network) or ``keep``.
            power: ``network`` (what the converted spectrum has), ``gaussian``, ``keep``; None is the system's default.
            envelope: ``differential`` filters the measured envelope, ``direct`` decodes the converted cepstra.
            target_speaker: a training speaker to sound like, for systems that can.

        Returns:
            float32 wav of round(n * contract.rate / rate) samples at ``contract.rate``, and a dict: ``source`` (the
            input at that rate), ``source_f0``, ``f0`` [T] in Hz, ``frame_period`` in ms, ``rate``, ``gain`` (below 1
            where the level was lowered against clipping), ``emotion``, ``source_emotion``, ``speaker``, ``silent``.

        Raises:
            UserError: unknown emotion, speaker or option; a recording that is empty, too short or holds NaN.
        """
        for name, value in (("f0", f0), ("spectrum", spectrum), ("power", power), ("envelope", envelope)):
            if value not in CHOICES[name] and not (name == "power" and value is None):
                raise UserError(f"{name} is '{value}', expected one of {', '.join(CHOICES[name])}")
        if not 0.0 <= intensity <= 2.0:
            raise UserError(f"intensity is {intensity}, expected a number from 0 (the source) to 2")
        if source_emotion is None and len(self.domains) == 2 and emotion in self.domains:
            source_emotion = self.domains[1 - self.domains.index(emotion)]
        self.check(emotion, speaker, source_emotion)
        if target_speaker is not None:
            self.check(emotion, target_speaker)
        source = self.prepare(wav, rate)
        info: dict[str, Any] = {
            "source": source,
            "rate": self.contract.rate,
            "frame_period": 1000 * self.contract.frame_seconds,
            "emotion": emotion,
            "source_emotion": source_emotion,
            "speaker": speaker,
            "silent": audio_problem(source, self.contract.rate) == "silent",
            "gain": 1.0,
        }
        if info["silent"]:
            logging.warning("the recording is silent, and so is its conversion")
            nothing = np.zeros(1 + int(len(source) / self.contract.rate / self.contract.frame_seconds))
            return np.zeros_like(source), {**info, "source_f0": nothing, "f0": nothing}
        if self.contract.kind == "mel":
            for name, value in (("f0", f0), ("spectrum", spectrum), ("power", power), ("envelope", envelope)):
                if value not in (None, CHOICES[name][0]):
                    raise UserError(f"{name} {value}: only systems on WORLD features change {name} by itself")
            return self.through_vocoder(source, ConversionTarget(emotion, target_speaker, intensity), info)
        analysis = world.analyze(source, self.contract, with_envelope=True)
        target = ConversionTarget(emotion, target_speaker, intensity)
        new = self.features(analysis, speaker, source_emotion, target, f0, spectrum, power)
        out, info["gain"] = render(analysis, self.contract, len(source), **new, envelope=envelope)
        info["source_f0"] = analysis["f0"]
        info["f0"] = analysis["f0"] if new["f0"] is None else new["f0"]
        return out, info

    @torch.inference_mode()
    def through_vocoder(
        self, source: np.ndarray, target: ConversionTarget, info: dict[str, Any]
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Convert mel spectrograms: samples [n] at the contract's rate to the converted ones, with the info completed.

        The result is as long as the source if the system keeps the number of frames.
        """
        given = extract(source, self.contract)
        made = self.model.convert({**given, "speaker": info["speaker"], "emotion": info["source_emotion"]}, target)
        length = len(source) if len(made["feats"]) == len(given["feats"]) else None
        wav = self.vocoder({"feats": np.asarray(made["feats"])}, contract=self.contract, length=length)
        wav, info["gain"] = within_full_scale(wav)
        info["rate"] = self.vocoder.contract.rate
        info["source_f0"] = given.get("f0", np.zeros(len(given["feats"])))
        info["f0"] = info["source_f0"] if made.get("f0") is None else made["f0"]
        return wav, info

    @torch.inference_mode()
    def features(
        self,
        analysis: Mapping[str, np.ndarray],
        speaker: str | None,
        source_emotion: str | None,
        target: ConversionTarget,
        f0: str = "convert",
        spectrum: str = "network",
        power: str | None = None,
    ) -> dict[str, np.ndarray | None]:
        """New ``f0``, ``mcep`` and ``power`` of an utterance, as :func:`render` takes them; None: unchanged."""
        power_way = power or ("network" if spectrum == "network" else getattr(self.model, "power", "keep"))
        simple = {"f0": f0 == "convert", "spectrum": spectrum == "gaussian", "power": power_way == "gaussian"}
        new: dict[str, np.ndarray | None] = {"f0": None, "mcep": None, "power": None}
        if spectrum == "network":
            given = {name: analysis[name] for name in ("feats", "f0", "power")}
            made = self.model.convert({**given, "speaker": speaker, "emotion": source_emotion}, target)
            new["mcep"] = made["feats"]
            if simple["f0"]:  # a system may have learned its own mapping, so its F0 comes first
                new["f0"], simple["f0"] = made["f0"], False
            if power is None:
                new["power"] = made["power"]
        if any(simple.values()):
            own = moments_of(analysis["feats"], analysis["f0"], analysis["power"])
            pair = moment_pair(self.stats, speaker, source_emotion, target.emotion, own, target.speaker)
            by_statistics = gaussian(analysis, pair, **simple, intensity=target.intensity)
            new.update({name: value for name, value in by_statistics.items() if value is not None})
        if power_way == "keep" and new["mcep"] is not None:
            new["power"] = analysis["power"]
        return new
