"""One trained system that reads text, loaded once, speaking any number of sentences."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evc2.convert.attempts import warn_of_failure
from evc2.convert.evc import EVC
from evc2.convert.render import within_full_scale
from evc2.errors import UserError
from evc2.feats.pitch_shift import LIMIT, shift_pitch
from evc2.text.g2p import G2P, build_g2p, with_silence
from evc2.text.lexicon import SILENCES
from evc2.train.abs_model import AbsEVCModel, ConversionTarget
from evc2.vocoder.abs_vocoder import AbsVocoder

SPEEDS = (0.25, 4.0)


@dataclass(frozen=True, kw_only=True)
class Controls:
    """How to speak beside voice and emotion.

    Args:
        intensity: of the emotion: 0 is neutral, 1 as learned, up to 2.
        speed: rate of speech, 2 twice as fast.
        pitch: semitones up or down; beside 0 the sound goes through WORLD once more, which costs some quality.

    Raises:
        UserError: a value out of range.
    """

    intensity: float = 1.0
    speed: float = 1.0
    pitch: float = 0.0

    def __post_init__(self) -> None:
        for name, low, high in (("intensity", 0.0, 2.0), ("speed", *SPEEDS), ("pitch", -LIMIT, LIMIT)):
            if not low <= getattr(self, name) <= high:
                raise UserError(f"{name} is {getattr(self, name)}, expected a number from {low:g} to {high:g}")


class TTS(EVC):
    """Text to emotional speech with a trained system.

    Args:
        model: the system, with ``contract`` and ``stats`` set; one that reads text.
        emotions, vocoder: see :class:`EVC`.

    Raises:
        UserError: a system that converts recordings.
    """

    def __init__(
        self,
        model: AbsEVCModel,
        emotions: list[str] | None = None,
        vocoder: AbsVocoder | None = None,
        f0_model: None = None,  # of systems that convert recordings
    ) -> None:
        if not model.reads_text:
            raise UserError(
                f"{type(model).__name__} converts recordings and does not read text: "
                f"use `evc2 convert --model ... in.wav out.wav`"
            )
        super().__init__(model, emotions, vocoder)
        self._g2p: G2P | None = None

    @classmethod
    def of(cls, evc: EVC) -> "TTS":
        """The same for a system that was loaded by name, before it was known what it does."""
        return cls(evc.model, evc.emotions, evc.given_vocoder)

    @property
    def g2p(self) -> G2P:
        """What turns text into the phones that the model was trained on."""
        if self._g2p is None:
            how = {key: value for key, value in self.model.g2p.items() if key != "silence"}
            if how.get("lexicon") and not Path(how["lexicon"]).is_file():
                logging.warning("%s: not there any more; words are said as espeak-ng does", how["lexicon"])
                how["lexicon"] = None
            self._g2p = build_g2p(**how)
        return self._g2p

    def phones(self, text: str) -> list[str]:
        """Phones of a text; a text in braces gives the phones themselves, in the kind that the model learned:
        ``{D AO1 G Z}`` (ARPAbet, in upper or lower case) or ``{d ˈɑː ɡ z}`` (IPA). Silence is added at the ends,
        as the training had it.
        """
        text = text.strip()
        if text.startswith("{") and text.endswith("}"):
            found = [phone.lstrip("@") for phone in text[1:-1].split()]
            if not found:
                raise UserError("no phones between the braces")
            if self.model.g2p.get("kind") == "arpabet":  # as a lexicon is read, which leaves silences in lower case
                found = [phone if phone in self.model.tokens else phone.upper() for phone in found]
        else:
            found = self.g2p(text)
        ends = self.model.g2p.get("silence", True) and SILENCES[0] not in (found[0], found[-1])
        return with_silence(found) if ends else found

    def voice(self, wav: np.ndarray, rate: int, weights: str | None = None) -> np.ndarray:
        """Speaker vector [D] of a recording, made as those of the training were; for :meth:`synthesize`.

        Args:
            wav, rate: samples [n] and their rate in Hz.
            weights: of the speaker encoder, where it needs a file.

        Raises:
            UserError: a model that knows its voices by name, or whose vectors came from elsewhere.
        """
        from evc2.convert.voices import KINDS, voice_vector

        kind = self.model.spembs_kind
        if kind not in KINDS:
            found = f"works on speaker vectors of '{kind}'" if kind else "knows the voices of its training by name"
            raise UserError(
                f"this model ({type(self.model).__name__}) {found}, so it cannot take a voice from a recording: name a "
                f"speaker (--speaker), one of {', '.join(self.model.speakers)}; or train a model on vectors, with "
                f"--spembs resemblyzer and conf/tuning/train_emotts_spembs.yaml"
            )
        return voice_vector(wav, rate, kind, weights)

    def synthesize(
        self,
        text: str | Sequence[str],
        speaker: str | None = None,
        emotion: str | None = None,
        reference: tuple[np.ndarray, int] | Mapping[str, Any] | None = None,
        voice: np.ndarray | None = None,
        controls: Controls | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Speak a text.

        Args:
            text: a text, or a list of phones as :meth:`phones` gives them.
            speaker: one of the model's; or ``voice``, a speaker vector [D], for models that work on such.
            emotion: one of the model's (its hard token); or ``reference``, a recording (samples, rate in Hz) or what
                :meth:`EVC.reference` made of one, whose emotion is to be heard (soft token).
            controls: see :class:`Controls`.

        Returns:
            float32 wav [n], and a dict: ``rate``, ``feats`` [T, n_mels], ``durations`` [L] in frames, ``phones`` (a
            list), ``scores`` of the emotions (a dict, of systems that give some), ``gain`` (below 1 where the level was
            lowered against clipping), ``made`` (what the system gave).

        Raises:
            UserError: unknown speaker or emotion, both or neither of emotion and reference, or nothing to say.
        """
        if (emotion is None) == (reference is None):
            raise UserError("give either an emotion (--emotion) or a recording to take it from (--ref_audio)")
        if (speaker is None) == (voice is None):
            raise UserError(
                f"give a speaker (--speaker), one of {', '.join(self.model.speakers)}, or a voice of your own"
            )
        how = controls or Controls()
        phones = self.phones(text) if isinstance(text, str) else list(text)
        style = self.reference(*reference) if isinstance(reference, tuple) else reference
        target = ConversionTarget(
            emotion,
            speaker,
            how.intensity,
            style=None if style is None else "reference",  # None: the emotion by its name, however a system calls that
            reference=style,
            voice=voice,
            speed=how.speed,
        )
        made = self.model.convert({"phones": phones, "speaker": None}, target)
        warn_of_failure(made)
        wav, gain = self.heard(made["feats"])
        rate = self.vocoder.contract.rate
        if how.pitch:
            wav, more = within_full_scale(shift_pitch(wav, rate, how.pitch))
            gain *= more
        kept = {key: made[key] for key in ("feats", "durations")}
        if "scores" in made:
            kept["scores"] = dict(zip(self.model.emotions, made["scores"].tolist(), strict=True))
        return wav, {"rate": rate, "phones": phones, "gain": gain, "made": made, **kept}
