"""Two-stage sequence-to-sequence emotional voice conversion: one network that speaks text and converts recordings.

Source: Zhou, Sisman and Li, "Limited data emotional voice conversion leveraging text-to-speech: two-stage
sequence-to-sequence training" (Interspeech 2021, arXiv 2103.16809), on the networks and losses of Zhang, Ling and Dai
(arXiv 1906.10508). A text encoder and a recogniser are led into one space of linguistic vectors, one a phone; a decoder
renders them in the style of a recording. Stage I learns this from many speakers (the styles are speakers), stage II
goes on with few emotional recordings (the styles are emotions). Duration is the decoder's choice, so it is converted
too.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from evc2.errors import UserError, check_keys
from evc2.feats.stats import Stats
from evc2.losses.perceptual import EmotionPerception
from evc2.losses.seq2seq import (
    class_error,
    contrastive,
    diagonality,
    end_targets,
    guided_attention,
    masked_mean,
    undecided,
)
from evc2.nets.layers.masks import length_mask
from evc2.nets.seq2seq.decoder import Decoder
from evc2.nets.seq2seq.encoders import MergeNet, Postnet, StyleClassifier, StyleEncoder, TextEncoder
from evc2.nets.seq2seq.recognizer import Recognizer
from evc2.systems.seq2seq_speech import Seq2SeqSpeech
from evc2.systems.text_labels import NO_EMOTION, text_labels
from evc2.train.abs_model import BatchCache

LABELS = {"speaker": "sids", "emotion": "eids"}
"""What a style may tell, and where its numbers are in a batch."""
WEIGHTS = {
    "contrastive": 30.0, "style": 1.0, "text": 1.0, "adversarial": 20.0, "classifier": 0.1, "stop": 1.0, "guided": 0.0,
}  # fmt: skip
PATHS = ("tts", "vc")
PERCEPTION = {"ser", "similarity", "classification", "start"}


class Seq2Seq(Seq2SeqSpeech):
    """The system: networks and losses; how it speaks is in :class:`Seq2SeqSpeech`.

    Args:
        speakers, emotions, tokens, g2p: what the training data name; see :func:`evc2.systems.text_labels.text_labels`.
        style_by: what a style tells: ``[speaker]`` (stage I), ``[emotion]``, or both (emotions of several speakers).
        n_symbols: rows of the table of phones at least; more if the data have more.
        n_mels: bands of the features.
        hidden: size of linguistic vectors, embeddings and the decoder's states.
        text, recognizer, style, classifier, decoder, postnet: further arguments of the networks in evc2.nets.seq2seq.
        weights: of the losses beside that of the spectrogram, see ``WEIGHTS``: contrastive, style (classes by the style
            encoder), text (phones by the recogniser), adversarial (linguistic vectors that tell no style), classifier
            (of its own turn), stop, guided (attention off the diagonal, of both networks).
        adversarial_loss: ``uniform`` (posteriors that say nothing) or ``ce`` (minus the classifier's cross entropy).
        guided_width: of the diagonal, see :func:`evc2.losses.seq2seq.guided_attention`.
        stop_positive: weight of the one step of an utterance that is its last, among its other steps.
        reduction_schedule: ``[[step, frames], ...]``: from which step on how many frames a step of the decoder makes,
            at most ``decoder: {reduction}``; none: always as many.
        detach_style: the decoder's errors do not reach the style encoder, which learns from its classes alone.
        strength: whether utterances come with the strength of their emotion (``utt2strength``), which then is an input
            of the decoder, and ``intensity`` of conversions sets it.
        perception: ``{ser: DIR, similarity: w, classification: w, start: step}``: losses by an emotion recogniser of
            one's own on the same features, from a step on (Zhou et al., "Emotion intensity and its control for
            emotional voice conversion", IEEE TAC 2022); see :mod:`evc2.losses.perceptual`.
        width, sharpen: of conversion, see :class:`Seq2SeqSpeech`.
    """

    turns = ("main", "classifier")
    training_only = ("classifier.",)

    def __init__(
        self,
        speakers: Sequence[str] = (),
        emotions: Sequence[str] = (),
        tokens: Sequence[str] = (),
        g2p: Mapping[str, Any] | None = None,
        style_by: Sequence[str] = ("emotion",),
        n_symbols: int | None = None,
        n_mels: int = 80,
        hidden: int = 512,
        text: Mapping[str, Any] | None = None,
        recognizer: Mapping[str, Any] | None = None,
        style: Mapping[str, Any] | None = None,
        classifier: Mapping[str, Any] | None = None,
        decoder: Mapping[str, Any] | None = None,
        postnet: Mapping[str, Any] | None = None,
        weights: Mapping[str, float] | None = None,
        adversarial_loss: str = "uniform",
        guided_width: float = 0.4,
        stop_positive: float = 1.0,
        reduction_schedule: Sequence[Sequence[int]] = (),
        detach_style: bool = True,
        strength: bool = False,
        perception: Mapping[str, Any] | None = None,
        width: int = 10,
        sharpen: float = 1.0,
    ):
        super().__init__(width, sharpen)
        style_by = [style_by] if isinstance(style_by, str) else list(style_by or ())
        if not style_by or not set(style_by) <= set(LABELS) or len(set(style_by)) != len(style_by):
            raise UserError(f"seq2seq: style_by is {list(style_by)}, expected one or both of {', '.join(LABELS)}")
        if adversarial_loss not in ("uniform", "ce"):
            raise UserError(f"seq2seq: adversarial_loss is {adversarial_loss!r}, expected uniform or ce")
        if unknown := sorted(set(weights or {}) - set(WEIGHTS)):
            raise UserError(f"seq2seq: weights: {unknown[0]!r} is no loss; expected some of {', '.join(WEIGHTS)}")
        if not speakers or not emotions:
            raise UserError("seq2seq: no speakers or no emotions; the training data name them")
        parts = {
            "text": (TextEncoder, text), "recognizer": (Recognizer, recognizer), "style": (StyleEncoder, style),
            "classifier": (StyleClassifier, classifier), "decoder": (Decoder, decoder), "postnet": (Postnet, postnet),
        }  # fmt: skip
        for name, (network, given) in parts.items():
            check_keys(network, given or {}, f"seq2seq: {name}")
            if (given or {}).get("kernel", 1) % 2 == 0 or (given or {}).get("reduction", 1) < 1:
                raise UserError(f"seq2seq: {name} is {dict(given or {})}: kernel must be odd, reduction at least 1")
        if hidden % 2 or width < 1:
            raise UserError(f"seq2seq: hidden is {hidden} and width {width}: expected an even number, and at least 1")
        self.speakers, self.emotions, self.tokens = tuple(speakers), tuple(emotions), tuple(tokens)
        self.g2p, self.style_by = dict(g2p or {}), tuple(style_by)
        self.weights, self.adversarial_loss = {**WEIGHTS, **(weights or {})}, adversarial_loss
        self.guided_width, self.detach_style = guided_width, detach_style
        self.strength = strength
        classes = [(name, len(speakers if name == "speaker" else emotions)) for name in style_by]
        symbols = max(n_symbols or 2, len(tokens))
        self.embedding = nn.Embedding(symbols, hidden)
        bound = (6 / (symbols + hidden)) ** 0.5
        nn.init.uniform_(self.embedding.weight, -bound, bound)
        self.text = TextEncoder(hidden, **(text or {}))
        self.recognizer = Recognizer(n_mels, symbols, hidden, **(recognizer or {}))
        self.style = StyleEncoder(n_mels, classes, **(style or {}))
        self.classifier = StyleClassifier(hidden, classes, **(classifier or {}))
        self.merge = MergeNet(hidden)
        size = self.style.out.out_features
        if strength:  # from nothing, so that a model without it can be gone on from
            self.strength_in = nn.Linear(1, size, bias=False)
            nn.init.zeros_(self.strength_in.weight)
        self.decoder = Decoder(n_mels, hidden + size, **{"hidden": hidden, **(decoder or {})})
        self.postnet = Postnet(n_mels, **(postnet or {}))
        self.schedule = self.checked_schedule(reduction_schedule)
        self.register_buffer("feats_mean", torch.zeros(n_mels))
        self.register_buffer("feats_std", torch.ones(n_mels))
        self.register_buffer("stop_positive", torch.tensor(float(stop_positive)), persistent=False)
        self.register_buffer("reduction", torch.tensor(self.schedule[-1][1]))
        self.register_buffer("styles_mean", torch.zeros(len(speakers), len(emotions), size))
        self.register_buffer("styles_count", torch.zeros(len(speakers), len(emotions), dtype=torch.long))
        self.perception: EmotionPerception | None = None  # loaded where it trains
        self.perception_conf = {"similarity": 1.0, "classification": 0.0, "start": 0, **(perception or {})}
        if perception and ("ser" not in perception or not set(perception) <= PERCEPTION):
            raise UserError(
                f"seq2seq: perception is {dict(perception)}, expected {{ser: DIR}}, and of "
                f"{', '.join(sorted(PERCEPTION - {'ser'}))} what is not at its default"
            )

    def checked_schedule(self, schedule: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
        """The schedule as (step, frames), the first of step 0."""
        most = self.decoder.reduction
        try:
            rows = [(int(step), int(frames)) for step, frames in schedule] or [(0, most)]
        except (TypeError, ValueError):
            raise UserError(
                f"seq2seq: reduction_schedule is {schedule!r}, expected [step, frames] in a list: [[0, 4], [5000, 2]]"
            ) from None
        if rows[0][0] != 0 or rows != sorted(rows) or any(not 1 <= frames <= most for _, frames in rows):
            raise UserError(
                f"seq2seq: reduction_schedule is {[list(row) for row in rows]}, expected [step, frames] from step 0 on "
                f"in order, with 1 to {most} frames (decoder: {{reduction}})"
            )
        return rows

    @classmethod
    def labels_of(
        cls, conf: Mapping[str, Any], stats: Stats, folder: str | Path, start: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        emotional = "emotion" in conf.get("style_by", ("emotion",))
        labels = text_labels(conf, stats, folder, start, emotional)
        return {**labels, "emotions": labels["emotions"] or [NO_EMOTION]}

    @property
    def label_rows(self) -> dict[str, str]:
        tables = ("embedding.weight", "recognizer.out.weight", "recognizer.out.bias")
        heads = [
            f"{net}.heads.{kind}.{x}" for net in ("style", "classifier") for kind in LABELS for x in ("weight", "bias")
        ]
        # Styles are told anew, and measured of the new data; so is the scale of the features.
        drawn = [*heads, "strength_in.weight", "styles_mean", "styles_count", "feats_mean", "feats_std", "reduction"]
        return dict.fromkeys(tables, "tokens") | dict.fromkeys(drawn, "")

    def turn_parameters(self, turn: str) -> Iterator[nn.Parameter]:
        own = set(self.classifier.parameters())
        return (p for p in self.parameters() if (p in own) == (turn == "classifier"))

    def take_vectors(self, folder: str | Path) -> None:
        """Take mean and deviation of the features from the statistics."""
        moments = self.stats.get()
        self.feats_mean.copy_(torch.from_numpy(np.asarray(moments.feats_mean)))
        self.feats_std.copy_(torch.from_numpy(np.asarray(moments.feats_std)))
        if "ser" in self.perception_conf:
            self.perception = EmotionPerception.load(self.perception_conf["ser"], self.contract)
            told = bool(self.perception_conf["classification"])
            numbers = self.perception.numbers(self.emotions) if told else [-1] * len(self.emotions)
            self.register_buffer("perceived", torch.tensor([*numbers, -1]), persistent=False)  # the last: unknown

    def frames_a_step(self, step: int) -> int:
        """Frames that a step of the decoder makes at a step of the training."""
        return next(frames for start, frames in reversed(self.schedule) if step >= start)

    def standardized(self, feats: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Features [B, T, n_mels] in deviations from the training's mean, zeros as padding."""
        return (feats - self.feats_mean) / self.feats_std * mask[..., None]

    def linguistic(self, batch: Mapping[str, torch.Tensor], feats: torch.Tensor) -> dict[str, torch.Tensor]:
        """Vectors of the text and of the recording, one a phone: ``text`` and ``audio`` [B, N, hidden], the
        recogniser's scores ``logits`` and ``attention`` at N + 1 steps.
        """
        text, lengths = batch["text"], batch["text_lengths"]
        mask = length_mask(lengths, text.shape[1])
        embedded = self.embedding(text)
        before = torch.cat((self.embedding.weight[:1].expand(len(text), 1, -1), embedded), 1)
        heard, logits, attention = self.recognizer(feats, batch["feats_lengths"], before)
        vectors = {"text": self.text(embedded, lengths, mask), "audio": heard[:, :-1] * mask[..., None]}
        return {**vectors, "mask": mask, "logits": logits, "attention": attention}

    def style_vector(
        self, batch: Mapping[str, torch.Tensor], feats: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """What the decoder is told of the style [B, size], and the scores of the classes."""
        style, scores = self.style(feats, batch["feats_lengths"])
        style = style.detach() if self.detach_style else style
        return (self.with_strength(style, batch["strength"]) if self.strength else style), scores

    def with_strength(self, style: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
        """Styles [B, size] of emotions so strong [B], from 0 to 1."""
        return style + self.strength_in(strength[:, None].to(style.dtype))

    def rendered(
        self,
        vectors: torch.Tensor,
        batch: Mapping[str, torch.Tensor],
        feats: torch.Tensor,
        style: torch.Tensor,
        reduction: int,
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Losses of the decoder on linguistic vectors [B, N, hidden], and the spectrogram [B, T, n_mels] it makes."""
        lengths, text_lengths = batch["feats_lengths"], batch["text_lengths"]
        mask = length_mask(lengths, feats.shape[1])
        known = F.pad(feats, (0, 0, 0, -feats.shape[1] % reduction))
        merged = self.merge(vectors, text_lengths, style)
        text_mask = length_mask(text_lengths, vectors.shape[1])
        mel, stop, attention = self.decoder(merged, text_mask, known, reduction)
        mel = mel[:, : feats.shape[1]].float()
        post = self.postnet(mel, mask).float()
        steps = (lengths + reduction - 1) // reduction
        ends = end_targets(lengths, stop.shape[1], reduction)
        each = F.binary_cross_entropy_with_logits(stop.float(), ends, reduction="none", pos_weight=self.stop_positive)
        losses = {
            "mel": masked_mean((mel - feats).abs(), mask),
            "post": masked_mean((post - feats).abs(), mask),
            "stop": masked_mean(each, length_mask(steps, stop.shape[1])),
            "guided": guided_attention(attention, text_lengths, steps, self.guided_width),
            "diagonal": diagonality(attention, text_lengths, steps).mean(),
        }
        return losses, post

    def classified(self, vectors: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The classifier's loss on linguistic vectors, and how often it is right."""
        mask = length_mask(batch["text_lengths"], vectors.shape[1])
        found = {"loss_classifier": vectors.new_zeros((), dtype=torch.float32)}
        for name, logits in self.classifier(vectors, mask).items():
            labels = batch[LABELS[name]][:, None].expand(-1, vectors.shape[1])
            error, right = class_error(logits, labels, mask)
            found["loss_classifier"] = found["loss_classifier"] + error
            found[f"classifier_{name}_acc"] = right
        return found

    def forward(
        self, turn: str | None = None, step: int = 0, cache: BatchCache | None = None, **batch: Any
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """Losses on whole utterances: ``feats`` [B, T, n_mels], ``text`` [B, N], ``sids``, ``eids`` [B] (-1: unknown),
        with lengths, and ``strength`` [B] where it is an input.

        The main turn renders the text's vectors in even steps and the recording's in odd ones; without a turn both.
        """
        weight = torch.full((), float(len(batch["feats"])), device=batch["feats"].device)
        if turn == "classifier":
            if cache is None or not hasattr(cache, "vectors"):
                raise UserError("seq2seq: the classifier learns from what the main turn made: no start_step for main")
            stats = self.classified(cache.vectors, batch)
            return self.weights["classifier"] * stats["loss_classifier"], detached(stats), weight
        # Validation takes what the last step of the training took, and so does conversion.
        reduction = self.frames_a_step(step) if turn else int(self.reduction)
        if turn:
            self.reduction.fill_(reduction)
        feats = self.standardized(batch["feats"], length_mask(batch["feats_lengths"], batch["feats"].shape[1]))
        said = self.linguistic(batch, feats)
        style, scores = self.style_vector(batch, feats)
        loss, stats = self.shared_losses(said, scores, batch)
        paths = [PATHS[step % 2]] if turn else PATHS
        extra = loss.new_zeros(())  # losses that are no merit of a model: it is chosen without them
        for path in paths:
            made, post = self.rendered(said["text" if path == "tts" else "audio"], batch, feats, style, reduction)
            loss = loss + self.path_loss(made) / len(paths)
            if self.perception is not None and step >= self.perception_conf["start"]:
                heard = self.perception_losses(post, batch)
                shares = (self.perception_conf[name] * value for name, value in heard.items())
                extra, made = extra + sum(shares) / len(paths), made | heard
            stats |= {f"{path}_{name}": value for name, value in made.items()}
        if turn is None:
            stats |= self.classified(said["audio"], batch)
            stats["diagonal"] = sum(stats[f"{path}_diagonal"] for path in PATHS) / len(PATHS)
            stats["loss"] = loss
        else:
            cache.vectors = said["audio"].detach()
        extra = extra + self.weights["adversarial"] * sum(stats[f"adversarial_{name}"] for name in self.style_by)
        if turn:
            stats["loss_main"] = loss + extra
        return loss + extra, detached(stats), weight

    def perception_losses(self, post: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """How much less of the emotion is heard in what was made [B, T, n_mels] than in the recordings."""
        labels = self.perceived[batch["eids"]]
        made = post * self.feats_std + self.feats_mean
        found = self.perception.both(made, batch["feats"], batch["feats_lengths"], labels)
        return dict(zip(("similarity", "classification"), found, strict=True))

    def path_loss(self, made: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The decoder's losses in their weights."""
        w = self.weights
        return made["mel"] + made["post"] + w["stop"] * made["stop"] + w["guided"] * made["guided"]

    def shared_losses(
        self, said: Mapping[str, torch.Tensor], scores: Mapping[str, torch.Tensor], batch: Mapping[str, torch.Tensor]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Losses that do not depend on what is rendered: their weighted sum without the adversary's, and each."""
        text, lengths, mask, w = batch["text"], batch["text_lengths"], said["mask"], self.weights
        stats = {"contrastive": contrastive(said["text"], said["audio"], mask)}
        targets = F.pad(text * mask, (0, 1))  # number 0 after the last phone: the end
        through = length_mask(lengths + 1, targets.shape[1])
        stats["text"], stats["text_acc"] = class_error(said["logits"], targets, through)
        places = (batch["feats_lengths"] + self.recognizer.reduction - 1) // self.recognizer.reduction
        # The recogniser steps over phones and attends to frames: its diagonal is that of the decoder, on its side.
        stats["heard_guided"] = guided_attention(said["attention"], places, lengths + 1, self.guided_width)
        stats["heard_diagonal"] = diagonality(said["attention"], places, lengths + 1).mean()
        loss = w["contrastive"] * stats["contrastive"] + w["text"] * stats["text"] + w["guided"] * stats["heard_guided"]
        for name, logits in scores.items():
            labels = batch[LABELS[name]]
            error, stats[f"style_{name}_acc"] = class_error(logits, labels, torch.ones_like(labels, dtype=torch.bool))
            stats[f"style_{name}"] = error
            loss = loss + w["style"] * error
        for name, logits in self.classifier(said["audio"], mask).items():
            if self.adversarial_loss == "uniform":
                fooled = undecided(logits, mask)
            else:
                labels = batch[LABELS[name]][:, None].expand_as(text)
                fooled = -class_error(logits, labels, mask)[0]
            stats[f"adversarial_{name}"] = fooled
        return loss, stats

    def remark(self, stats: Mapping[str, float], step: int) -> str | None:
        """What the user should know of the figures of a validation."""
        for name, what in (("diagonal", "decoder"), ("heard_diagonal", "recogniser")):
            if stats.get(name, 1.0) < 0.5 and step >= 1000:
                return (
                    f"after {step} steps the {what}'s attention does not follow the speech ({name} {stats[name]:.2f}; "
                    f"evenly spread attention has 0.28, aligned speech above 0.7): what is spoken will be no words. "
                    f"Raise weights: {{guided}}, use shorter utterances first, or another reduction_schedule"
                )
        return None


def detached(stats: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same values without their graphs."""
    return {name: value.detach() for name, value in stats.items()}
