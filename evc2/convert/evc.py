"""One trained system, loaded once, converting any number of recordings."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evc2.convert.attempts import warn_of_failure
from evc2.convert.checks import check_f0_model, check_vocoder, resolve
from evc2.convert.features import new_features, time_ratio
from evc2.convert.loading import load_model
from evc2.convert.options import Options
from evc2.convert.recording import prepare, speech
from evc2.convert.render import render, scaled, within_full_scale
from evc2.errors import UserError
from evc2.feats import world
from evc2.feats.contract import FeatureContract
from evc2.feats.duration import stretch_f0
from evc2.feats.extract import extract
from evc2.feats.loudness import raising_gain
from evc2.feats.stats import Stats
from evc2.fileio.audio import audio_problem
from evc2.train.abs_model import AbsEVCModel, ConversionTarget
from evc2.vocoder import choose_vocoder
from evc2.vocoder.abs_vocoder import AbsVocoder, fit_length


class EVC:
    """Emotional voice conversion with a trained system.

    Args:
        model: the system, with ``contract`` and ``stats`` set.
        emotions: the emotions that the model knows, for messages; None takes those of its statistics.
        vocoder: makes the sound of a system on mel spectrograms; None takes the system's own sound, where it makes any,
            else :func:`choose_vocoder`'s choice. Systems on WORLD features are synthesised with what was measured of
            the source.
        f0_model: converts F0 with the option ``f0`` ``cwt``: a system of its own, on the same F0.
    """

    def __init__(
        self,
        model: AbsEVCModel,
        emotions: list[str] | None = None,
        vocoder: AbsVocoder | None = None,
        f0_model: AbsEVCModel | None = None,
    ) -> None:
        self.model = model.eval()
        self.contract: FeatureContract = model.contract
        self.stats: Stats = model.stats
        self.domains: tuple[str, ...] = model.emotions
        self.emotions = list(self.domains or emotions or self.stats.emotions)
        if vocoder is not None:
            check_vocoder(self.contract, vocoder)
        if f0_model is not None:
            check_f0_model(self.contract, f0_model.eval())
        self._vocoder, self.f0_model = vocoder, f0_model

    @property
    def in_own_time(self) -> bool:
        """Whether the system hears whole utterances and speaks as long as it likes, instead of frame by frame."""
        return self.model.collation == "utterance"

    @property
    def given_vocoder(self) -> AbsVocoder | None:
        """The vocoder that was asked for, None where the choice is left."""
        return self._vocoder

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
        f0_model: str | Path | None = None,
    ) -> "EVC":
        """Load a model directory (exp/<tag>/<phase>) or a pack.

        Args:
            path: the directory or the .zip file.
            model_file: name of the weights in a directory; None takes the best by validation.
            device: torch device name.
            vocoder: see the class.
            f0_model: directory or pack of the model for F0, if one is wanted.

        Raises:
            UserError: missing, damaged or foreign files; weights that hold code; no such device; an F0 model that was
                trained on F0 of another definition.
        """
        model, emotions = load_model(path, model_file, device)
        return cls(model, emotions, vocoder, None if f0_model is None else load_model(f0_model, None, device)[0])

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

    def resolve(self, options: Options) -> Options:
        """Complete options by what the model knows; UserError for what it or the F0 model cannot serve."""
        return resolve(options, self.model, self.emotions, self.f0_model)

    def prepare(self, wav: np.ndarray, rate: int) -> np.ndarray:
        """Samples at the contract's rate: see :func:`evc2.convert.recording.prepare`."""
        return prepare(wav, rate, self.contract.rate)

    def reference(self, wav: np.ndarray, rate: int) -> dict[str, Any]:
        """Features of a recording whose style is to be copied, for the option ``reference``; errors as `prepare`.

        Its speaker and emotion are not known, so systems take its own mean and deviation where they normalise. Of
        systems on whole utterances (:attr:`in_own_time`) the silence around the speech is cut.
        """
        wav = self.prepare(wav, rate)
        wav = speech(wav, self.contract.rate) if self.in_own_time else wav
        if audio_problem(wav, self.contract.rate) == "silent":
            raise UserError("the reference recording is silent: it has no style")
        return {**extract(wav, self.contract), "speaker": None, "emotion": None}

    def convert(
        self,
        wav: np.ndarray,
        rate: int,
        emotion: str | None = None,
        speaker: str | None = None,
        source_emotion: str | None = None,
        **options: Any,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Convert one recording.

        Args:
            wav: samples [n] or [n, channels] in [-1, 1].
            rate: their rate in Hz; any.
            emotion, speaker, source_emotion, options: see :class:`evc2.convert.options.Options`.

        Returns:
            float32 wav at ``contract.rate``, of round(n * contract.rate / rate) samples (times the ``ratio`` below), or
            as long as a system that speaks in its own time likes; and a dict: ``source`` (the input at that rate, of
            systems on whole utterances without the silence around the speech), its ``source_f0``, ``f0`` of the wav in
            Hz (a value a frame, 0: unvoiced, or no F0 in the contract), ``frame_period`` in ms, ``rate``, ``gain``
            (below 1 where the level was lowered against clipping), ``ratio`` (of the durations, 1 unless they are
            scaled), ``emotion``, ``source_emotion``, ``speaker``, ``target_speaker``, ``silent``; of systems on mel
            spectrograms also ``given`` and ``target``, what the system was called with, and ``made``, what it gave.

        Raises:
            UserError: unknown emotion, speaker or option; a recording that is empty, too short or holds NaN.
        """
        asked = self.resolve(Options(emotion=emotion, speaker=speaker, source_emotion=source_emotion, **options))
        source = self.prepare(wav, rate)
        info: dict[str, Any] = {
            "source": source,
            "rate": self.contract.rate,
            "frame_period": 1000 * self.contract.frame_seconds,
            "emotion": asked.emotion,
            "source_emotion": asked.source_emotion,
            "speaker": asked.speaker,
            "target_speaker": asked.target_speaker,
            "silent": audio_problem(source, self.contract.rate) == "silent",
            "gain": 1.0,
            "ratio": 1.0,
        }
        if info["silent"]:
            logging.warning("the recording is silent, and so is its conversion")
            nothing = np.zeros(1 + int(len(source) / self.contract.rate / self.contract.frame_seconds))
            return np.zeros_like(source), {**info, "source_f0": nothing, "f0": nothing}
        if self.in_own_time:
            source = info["source"] = speech(source, self.contract.rate)
        style = self.reference(*asked.reference) if isinstance(asked.reference, tuple) else asked.reference
        target = ConversionTarget(
            emotion,
            asked.target_speaker,
            asked.intensity,
            asked.spectrum_intensity,
            style=asked.style,
            reference=style,
            seed=asked.style_seed,
        )
        if self.contract.kind == "mel":
            return self.through_vocoder(source, target, info)
        analysis = world.analyze(source, self.contract, with_envelope=True)
        info["ratio"] = time_ratio(self.stats, analysis, asked, len(source) / self.contract.rate)
        new = new_features(self.model, self.f0_model, analysis, asked, target)
        scaling = {"envelope": asked.envelope, "ratio": info["ratio"]}
        out, info["gain"] = render(analysis, self.contract, len(source), **new, **scaling)
        info["source_f0"] = analysis["f0"]
        info["f0"] = analysis["f0"] if new["f0"] is None else new["f0"]
        if info["ratio"] != 1.0:
            info["f0"] = stretch_f0(info["f0"], scaled(len(info["f0"]), info["ratio"]))
        return out, info

    @torch.inference_mode()
    def through_vocoder(
        self, source: np.ndarray, target: ConversionTarget, info: dict[str, Any]
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Convert mel spectrograms: samples [n] at the contract's rate to the converted ones, with the info completed.

        The result is as long as the source if the system keeps the number of frames, and then has the source's F0
        unless the system gives its own. Speech of another length has the F0 that is measured of it.
        """
        level = self.model.loudness
        raised = source if level is None else source * 10 ** (raising_gain(source, level)[0] / 20)
        given = {**extract(raised, self.contract), "speaker": info["speaker"], "emotion": info["source_emotion"]}
        info["given"], info["target"] = given, target
        made = info["made"] = self.model.convert(given, target)
        warn_of_failure(made)
        in_time = len(made["feats"]) == len(given["feats"]) and not self.in_own_time
        length = len(source) if in_time else None
        if made.get("wav") is not None and self._vocoder is None:  # a vocoder that was asked for takes precedence
            wav, info["gain"] = within_full_scale(fit_length(made["wav"], length))
        else:
            wav, info["gain"] = self.heard(made["feats"], length)
            info["rate"] = self.vocoder.contract.rate
        info["source_f0"] = given.get("f0", np.zeros(len(given["feats"])))
        info["f0"] = info["source_f0"] if made.get("f0") is None else made["f0"]
        if made.get("f0") is None and not in_time:  # the rate of a vocoder is that of the features
            none = np.zeros(len(made["feats"]))
            info["f0"] = extract(wav, self.contract)["f0"] if self.contract.has_f0 else none
        return wav, info

    def heard(self, feats: np.ndarray, length: int | None = None) -> tuple[np.ndarray, float]:
        """Sound of mel spectrograms [T, n_mels]: float32 wav, and the gain that kept it within full scale."""
        return within_full_scale(self.vocoder({"feats": np.asarray(feats)}, contract=self.contract, length=length))
