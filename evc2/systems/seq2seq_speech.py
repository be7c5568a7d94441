"""How the two-stage system speaks: styles by name, the words by a search or as text, and a decoder that must end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from evc2.errors import UserError
from evc2.feats.distance import conversion_distances, from_log_mel
from evc2.nets.layers.masks import length_mask
from evc2.nets.seq2seq.decoder import Limits, Spoken
from evc2.systems.text_labels import NEUTRAL, NO_EMOTION
from evc2.text.errors import error_rate
from evc2.text.tokens import UNKNOWN, Tokens
from evc2.train.abs_model import AbsEVCModel, ConversionTarget

MEASURED = 50
"""Utterances of each speaker and emotion whose mean is their style."""
LINGER = 0.4
"""Seconds that the attention may rest on the last phone."""
START, PER_PHONE, STRETCH = 1.0, 0.3, 3.0
"""Seconds of speech at most: so many, and so many a phone more, but no more than so many times the recording. Nobody
speaks slower."""
FASTEST = 0.04
"""Seconds of a phone at least, which bounds how many a recording can hold."""


class Seq2SeqSpeech(AbsEVCModel):
    """Conversion and speech of :class:`evc2.systems.seq2seq.Seq2Seq`, which has the networks.

    Args:
        width: of the search for phones.
        sharpen: factor of the deviations of spoken bands from their mean (published: 1.2).
    """

    collation = "utterance"
    styles = ("mean", "reference")
    reads_text = True
    keeps_voice = True
    counts = {"speakers": 99, "emotions": 5, "tokens": 42}

    def __init__(self, width: int = 10, sharpen: float = 1.0):
        super().__init__()
        self.width, self.sharpen = width, sharpen

    def check_contract(self) -> None:
        """UserError for features that are no mel spectrograms."""
        if self.contract.kind != "mel":
            raise UserError(
                f"seq2seq makes mel spectrograms, and '{self.contract.name}' is of the kind {self.contract.kind}: use "
                f"--feats_conf conf/feats_seq2seq.yaml"
            )

    @property
    def device(self) -> torch.device:
        return self.feats_mean.device

    def given(self, feats: np.ndarray) -> torch.Tensor:
        """Features [T, n_mels] as the networks take them [1, T, n_mels]."""
        feats = torch.from_numpy(np.array(feats, dtype=np.float32)).to(self.device)[None]
        return (feats - self.feats_mean) / self.feats_std

    def style_of(self, feats: np.ndarray) -> torch.Tensor:
        """The style [D] of a recording [T, n_mels]."""
        return self.style(self.given(feats), torch.tensor([len(feats)], device=self.device))[0][0]

    @torch.inference_mode()
    def measure_styles(self, utterances: Iterable[tuple[int, int, np.ndarray]], batch: int = 16) -> None:
        """Set the mean styles of speakers and emotions.

        Args:
            utterances: numbers of speaker and emotion (-1: unknown, left out), and features [T, n_mels].
            batch: how many are measured at once.
        """
        known = [(s, e, feats) for s, e, feats in utterances if s >= 0 and e >= 0]
        known.sort(key=lambda item: len(item[2]))
        self.styles_mean.zero_(), self.styles_count.zero_()
        for start in range(0, len(known), batch):
            part = known[start : start + batch]
            lengths = torch.tensor([len(feats) for *_, feats in part], device=self.device)
            feats = nn.utils.rnn.pad_sequence([self.given(feats)[0] for *_, feats in part], batch_first=True)
            styles, _ = self.style(feats * length_mask(lengths, feats.shape[1])[..., None], lengths)
            for (s, e, _), style in zip(part, styles, strict=True):
                self.styles_mean[s, e] += style
                self.styles_count[s, e] += 1
        self.styles_mean /= self.styles_count.clamp(min=1)[..., None]

    def get_ready(self, dataset: Any) -> None:
        """Measure the styles of the training data, of at most MEASURED utterances of each speaker and emotion (a fifth
        of that where there are no emotions, but many speakers).
        """
        most = MEASURED if "emotion" in self.style_by else MEASURED // 5
        taken: dict[tuple[int, int], list[str]] = {}
        for utt, labels in sorted(dataset.labels.items()):
            taken.setdefault(labels, []).append(utt)
        utts = [utt for group in taken.values() for utt in group[:: -(-len(group) // most)]]
        self.measure_styles((*dataset.labels[utt], dataset.feats[utt]) for utt in utts)

    def stored(self, speaker: str | None, emotion: str | None) -> torch.Tensor | None:
        """The mean style [D] of a speaker's emotion, None where it was not measured."""
        if speaker not in self.speakers or emotion not in self.emotions:
            return None
        place = self.speakers.index(speaker), self.emotions.index(emotion)
        return self.styles_mean[place] if self.styles_count[place] else None

    def heard_emotions(self, feats: np.ndarray) -> torch.Tensor | None:
        """Posteriors [E] of a recording's emotions; None of a model whose styles do not tell emotions."""
        if "emotion" not in self.style_by:
            return None
        scores = self.style(self.given(feats), torch.tensor([len(feats)], device=self.device))[1]
        return scores["emotion"][0].softmax(0)

    def shift(self, source: str, emotion: str) -> torch.Tensor:
        """What an emotion changes in a style [D], from another one on, on average over the speakers who have both."""
        start, target = self.number("emotion", source), self.number("emotion", emotion)
        both = (self.styles_count[:, target] > 0) & (self.styles_count[:, start] > 0)
        if not bool(both.any()):
            raise UserError(
                f"no speaker of the training is both {source} and {emotion}: name a speaker who is {emotion}"
            )
        return (self.styles_mean[both, target] - self.styles_mean[both, start]).mean(0)

    def origin(self, source: Mapping[str, Any], target: ConversionTarget) -> tuple[torch.Tensor, str]:
        """Where a style starts from: the style [D] of the voice that is asked for, and the emotion that it is in.

        A recording's own voice is as the training knows it, or as it is heard; any other voice, and that of a text, is
        neutral where the training has that.
        """
        feats, speaker = source.get("feats"), target.speaker or source.get("speaker")
        if feats is not None and target.speaker in (None, source.get("speaker")):
            emotion, heard = source.get("emotion"), self.heard_emotions(feats)
            if emotion not in self.emotions:
                emotion = NEUTRAL if NEUTRAL in self.emotions else self.emotions[0]
                emotion = emotion if heard is None else self.emotions[int(heard.argmax())]
            style = self.stored(speaker, emotion)
            return self.style_of(feats) if style is None else style, emotion
        self.number("speaker", speaker)
        for emotion in (source.get("emotion") if feats is not None else None, NEUTRAL, *self.emotions):
            if (style := self.stored(speaker, emotion)) is not None:
                return style, emotion
        raise UserError(f"{speaker} is among the training's speakers, but no style of theirs was measured")

    def asked_style(self, source: Mapping[str, Any], target: ConversionTarget) -> torch.Tensor:
        """The style [1, D] that the decoder is given.

        A known speaker's emotion has a mean; any other voice keeps its own style, moved by what the emotion changes in
        others. The emotion of a reference is as it is heard there, and the voice stays; only where styles do not tell
        speakers (one speaker, as published) the style is the reference's. ``intensity`` goes on the line from the
        origin to there; of a model with ``strength`` it is an input of its own, from 0 to 1.
        """
        if target.speed != 1.0:
            raise UserError("this system decides by itself how fast it speaks: leave out --speed")
        if target.voice is not None:
            raise UserError(
                "this system takes voices from its training's speakers or from a recording, not from vectors"
            )
        origin, came = self.origin(source, target)
        speaker, heard = target.speaker or source.get("speaker"), None

        def in_emotion(emotion: str) -> torch.Tensor:
            style = self.stored(speaker, emotion)
            return origin + self.shift(came, emotion) if style is None else style

        if target.style == "reference" or (target.style is None and target.reference is not None):
            if target.reference is None:
                raise UserError("the style 'reference' needs a reference recording")
            goal, heard = self.style_of(target.reference["feats"]), self.heard_emotions(target.reference["feats"])
            if heard is not None and "speaker" in self.style_by:
                shares = zip(heard, self.emotions, self.styles_count.sum(0) > 0, strict=True)
                goal = sum(p * in_emotion(name) for p, name, known in shares if known and p > 0.01)
        else:
            self.number("emotion", target.emotion)
            goal = in_emotion(target.emotion)
        if self.strength:
            if target.intensity > 1.0:
                raise UserError(f"intensity {target.intensity:g}: this model was told strengths from 0 to 1")
            plain = heard is None and target.emotion in (NEUTRAL, NO_EMOTION)
            strength = goal.new_tensor([0.0 if plain else target.intensity])
            return self.with_strength(F.normalize(goal, dim=0)[None], strength)
        if target.intensity != 1.0 and came == target.emotion != NEUTRAL and source.get("feats") is None:
            raise UserError(
                f"intensity {target.intensity:g}: of {speaker} the training has {came} speech alone, so there is "
                f"nothing to go from"
            )
        return F.normalize(origin + target.intensity * (goal - origin), dim=0)[None]

    def words(self, source: Mapping[str, Any]) -> tuple[torch.Tensor, list[str], dict[str, Any]]:
        """Linguistic vectors [N, hidden] of a source, its phones, and what else is known of how they were found.

        A recording (``feats``) is searched for them; without one ``phones`` are read.
        """
        if source.get("feats") is None:
            if source.get("phones") is None:
                raise UserError("there is neither a recording to convert nor a text to say")
            phones = list(source["phones"])
            text = torch.from_numpy(Tokens(self.tokens).ids(phones)).to(self.device)[None]
            lengths = torch.tensor([text.shape[1]], device=self.device)
            mask = length_mask(lengths, text.shape[1])
            return self.text(self.embedding(text), lengths, mask)[0], phones, {}
        seconds = len(source["feats"]) * self.contract.frame_seconds
        longest = max(2, round(seconds / FASTEST))
        heard = self.recognizer.search(self.given(source["feats"])[0], self.embedding.weight, self.width, longest)
        phones = [self.tokens[number] if number < len(self.tokens) else UNKNOWN for number in heard.phones]
        found = {"heard_attention": heard.weights.cpu().numpy(), "heard_whole": heard.ended}
        if source.get("phones") is not None:
            found["phone_errors"] = error_rate(source["phones"], phones)
        return heard.vectors, phones, found

    def limits(self, phones: int, frames: int | None = None) -> Limits:
        """When to end an utterance of so many phones, of a recording of so many frames (None: of a text)."""
        step = self.contract.frame_seconds * int(self.reduction)
        seconds = START + PER_PHONE * phones
        if frames is not None:
            seconds = min(seconds, START + STRETCH * frames * self.contract.frame_seconds)
        return Limits(most=int(seconds / step), linger=int(LINGER / step))

    def spoken(
        self, vectors: torch.Tensor, style: torch.Tensor, limits: Limits, seed: int
    ) -> tuple[Spoken, np.ndarray]:
        """Speech of linguistic vectors [N, hidden] in a style [1, D]: how it came, and its features [T, n_mels]."""
        lengths = torch.tensor([len(vectors)], device=self.device)
        memory = self.merge(vectors[None], lengths, style)[0]
        draws = torch.Generator(self.device).manual_seed(seed)
        made = self.decoder.generate(memory, int(self.reduction), limits, draws)
        there = torch.ones(1, len(made.mel), dtype=torch.bool, device=self.device)
        mel = self.postnet(made.mel[None], there)[0].float()
        return made, (mel * self.sharpen * self.feats_std + self.feats_mean).cpu().numpy()

    @torch.inference_mode()
    def convert(self, source: Mapping[str, Any], target: ConversionTarget) -> dict[str, Any]:
        """Say a recording's words, or ``phones`` where there is no recording, in another style.

        Returns:
            ``feats`` [T, n_mels]; ``phones`` (a list of N) and their ``durations`` [N] in frames; ``attention`` [S, N];
            ``ending`` (stop, attention or limit) and ``whole`` (whether it came to its end); of recordings also
            ``heard_attention`` [N + 1, frames / 2], ``heard_whole``, and ``phone_errors`` where the phones are known;
            with a reference ``scores`` [E] of its emotions.
        """
        vectors, phones, found = self.words(source)
        style = self.asked_style(source, target)
        frames = None if source.get("feats") is None else len(source["feats"])
        made, feats = self.spoken(vectors, style, self.limits(len(vectors), frames), target.seed)
        attention = made.weights.cpu().numpy()
        durations = np.bincount(attention.argmax(1), minlength=len(phones)) * int(self.reduction)
        heard = None if target.reference is None else self.heard_emotions(target.reference["feats"])
        if heard is not None:
            found["scores"] = heard.cpu().numpy()
        found |= {"ending": made.ending, "whole": made.whole and found.get("heard_whole", True)}
        found |= {"phones": phones, "durations": durations, "attention": attention}
        return {"feats": feats, "f0": None, "power": None, **found}

    @torch.inference_mode()
    def teacher_forced(self, source: Mapping[str, Any]) -> np.ndarray:
        """Mel spectrogram [T, n_mels] of a recording by its own words, style and frames."""
        if source.get("phones") is None:
            raise UserError("teacher-forced speech needs the phones of the recordings; stage 3 makes them")
        feats, frames = self.given(source["feats"]), len(source["feats"])
        text = torch.from_numpy(Tokens(self.tokens).ids(source["phones"])).to(self.device)[None]
        batch = {
            "text": text,
            "text_lengths": torch.tensor([text.shape[1]], device=self.device),
            "feats_lengths": torch.tensor([frames], device=self.device),
            "strength": torch.tensor([float(source.get("strength") or 0.0)], device=self.device),
        }
        style, _ = self.style_vector(batch, feats)
        draws = torch.Generator(self.device).manual_seed(0)
        said = self.linguistic(batch, feats)
        reduction = int(self.reduction)
        known = F.pad(feats, (0, 0, 0, -frames % reduction))
        merged = self.merge(said["audio"], batch["text_lengths"], style)
        mel = self.decoder(merged, said["mask"], known, reduction, draws)[0][:, :frames]
        mel = self.postnet(mel, torch.ones(1, frames, dtype=torch.bool, device=self.device))[0].float()
        return (mel * self.sharpen * self.feats_std + self.feats_mean).cpu().numpy()

    def pictures(self, source: Mapping[str, Any], target: ConversionTarget) -> dict[str, np.ndarray]:
        """Attention of the decoder and of the recogniser, as images [places, steps]."""
        made = self.convert(source, target)
        found = {"attention": made["attention"].T}
        return found | ({"heard attention": made["heard_attention"]} if "heard_attention" in made else {})

    def score_trial(self, source: Mapping[str, Any], reference: Mapping[str, Any], emotion: str) -> dict[str, float]:
        """How near the converted mel bands come to the reference, as mel-cepstra (see
        :func:`evc2.feats.distance.conversion_distances`), ``phone_errors`` of the search, and ``failures``: 1 where the
        speech did not come to its end.
        """
        made = self.convert(source, ConversionTarget(emotion, reference["speaker"]))
        cepstra = (from_log_mel(x, self.contract)[:, 1:] for x in (made["feats"], reference["feats"], source["feats"]))
        scores = {"failures": float(not made["whole"])}
        if "phone_errors" in made:
            scores["phone_errors"] = made["phone_errors"]
        return {**conversion_distances(*cepstra), **scores}
