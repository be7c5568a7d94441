"""Text to emotional speech, with emotions learned from some speakers and voices from others.

Source: Wu et al., "Cross-speaker emotion transfer based on speaker condition layer normalization and semi-supervised
training in text-to-speech" (arXiv 2110.04153). A table of emotion tokens is attended to by a reference encoder; the
attention is trained to name the emotion of labelled utterances, so that a token is an emotion. Labelled utterances are
spoken with the token of their label (hard), others with the mixture that their own recording attends to (soft), and
without a term for the label (sec. 2.3): so voices without emotional recordings take part, and can then speak with every
token. The voice enters the decoder by the gains and biases of its layer normalisation alone (SCLN, sec. 2.2).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from evc2.errors import UserError, check_keys
from evc2.feats.distance import conversion_distances, from_log_mel
from evc2.feats.mel import compress
from evc2.feats.stats import Stats
from evc2.losses.tts import emotion_error, mel_error
from evc2.nets.emotts import (
    Decoder,
    DurationPredictor,
    EmotionTokens,
    ReferenceEncoder,
    TextEncoder,
    regulate,
)
from evc2.nets.layers.augment import Augment
from evc2.nets.layers.masks import length_mask
from evc2.systems.text_labels import NEUTRAL, text_labels, vector_kind, voice_vectors
from evc2.text.tokens import Tokens
from evc2.train.abs_model import AbsEVCModel, BatchCache, ConversionTarget

LOSSES = {"mel_loss": ("mean", "repo"), "emotion_loss": ("ce", "bce")}


class EmoTTS(AbsEVCModel):
    """The system.

    Args:
        speakers, emotions, tokens, g2p: what the training data name: voices, emotions, phones by number (0 is padding)
            and how text becomes phones (see :func:`evc2.systems.text_labels.text_labels`).
        n_symbols: rows of the table of phones; None: as many as there are tokens.
        n_mels: bands of the features.
        silence: feature value of silence; None: what the feature contract makes of it.
        hidden: size of encodings, tokens and voices.
        positions: stored rows of the tables of positions.
        encoder, reference, predictor, decoder: arguments of the networks; see :mod:`evc2.nets.emotts`.
            ``reference: {augment: {...}}`` changes the recordings that the reference encoder hears in training
            (:class:`~evc2.nets.layers.augment.Augment`): without, it learns a small corpus's recordings by heart.
        spk_embed_dim: size of the speaker vectors that stage 3 left (spk2spembs.scp); None: voices are learned.
        spembs_kind: what made them, as stage 3 notes; a voice from outside is then measured in the same way.
        unlabelled: patterns of speakers whose labels are not used; utterances labelled ``other`` never have one.
        standardize: the decoder gives each band in its deviations from its mean in the training data. Otherwise (as
            published) the norms must carry the mean spectrum, and block by block it drowns what the text says.
        mel_loss: ``mean`` over frames and bands; ``repo`` divides that by each utterance's frames once more.
        emotion_loss: ``ce`` of the scores; ``bce``, binary cross entropy of their softmax, as in the published code.
        emotion_weight, duration_weight: of the two losses beside that of the spectrogram.
    """

    collation = "utterance"
    styles = ("token", "reference")
    reads_text = True
    converts = False

    def __init__(
        self,
        speakers: Sequence[str] = (),
        emotions: Sequence[str] = (),
        tokens: Sequence[str] = (),
        g2p: Mapping[str, Any] | None = None,
        n_symbols: int | None = None,
        n_mels: int = 80,
        silence: float | None = None,
        hidden: int = 128,
        positions: int = 321,
        encoder: Mapping[str, Any] | None = None,
        reference: Mapping[str, Any] | None = None,
        predictor: Mapping[str, Any] | None = None,
        decoder: Mapping[str, Any] | None = None,
        spk_embed_dim: int | None = None,
        spembs_kind: str | None = None,
        unlabelled: Sequence[str] = (),
        standardize: bool = True,
        mel_loss: str = "mean",
        emotion_loss: str = "ce",
        emotion_weight: float = 0.1,
        duration_weight: float = 0.1,
    ):
        super().__init__()
        for name, value in (("mel_loss", mel_loss), ("emotion_loss", emotion_loss)):
            if value not in LOSSES[name]:
                raise UserError(f"emotts: {name} is {value!r}, expected one of {', '.join(LOSSES[name])}")
        if not speakers or not emotions:
            raise UserError("emotts: no speakers or no emotions; the training data name them")
        if n_symbols is not None and len(tokens) > n_symbols:
            raise UserError(f"emotts: the data have {len(tokens)} phones, and n_symbols is {n_symbols}; raise it")
        self.speakers, self.emotions, self.tokens = tuple(speakers), tuple(emotions), tuple(tokens)
        self.g2p, self.spembs_kind = dict(g2p or {}), spembs_kind
        self.mel_loss, self.emotion_loss = mel_loss, emotion_loss
        self.emotion_weight, self.duration_weight = emotion_weight, duration_weight
        block = {"heads": 2, "inner": 256, "kernel": 9, "dropout": 0.2, **(encoder or {})}
        layers = block.pop("layers", 1)
        light = {"layers": 1, "heads": 2, "kernel": 3, "inner": 256, "dropout": 0.2}
        deep = {"layers": 6, "heads": 8, "kernel": 15, "inner": 256, "dropout": 0.2, "gain_offset": 1.0}
        heard = {"channels": (32, 32, 64, 64, 128, 128), "size": 32, "dropout": 0.0, **(reference or {})}
        changes = heard.pop("augment", None)
        check_keys(Augment, changes or {}, "emotts: reference.augment")
        self.silence_given = silence is not None
        silence = -11.5129 if silence is None else silence  # until check_contract knows better: ln(1e-5)
        self.silence, self.augment = silence, None if changes is None else Augment(**changes)
        self.encoder = TextEncoder(n_symbols or max(len(tokens), 2), hidden, layers, positions, block)
        self.reference = ReferenceEncoder(n_mels, silence=silence, **heard)
        self.emotion_tokens = EmotionTokens(len(emotions), heard["size"], hidden)
        self.predictor = DurationPredictor(hidden, positions, block, **{**light, **(predictor or {})})
        self.decoder = Decoder(hidden, n_mels, **{**deep, **(decoder or {})})
        if spk_embed_dim is None:
            self.voice: nn.Module = nn.Embedding(len(speakers), hidden)
            nn.init.normal_(self.voice.weight, std=0.1)  # norms that begin as plain ones, nearly
        else:
            self.voice = nn.Linear(spk_embed_dim, hidden)
            self.register_buffer("spembs", torch.zeros(len(speakers), spk_embed_dim))
        self.standardize = standardize
        if standardize:
            self.register_buffer("feats_mean", torch.zeros(n_mels))
            self.register_buffer("feats_std", torch.ones(n_mels))

    @classmethod
    def labels_of(
        cls,
        conf: Mapping[str, Any],
        stats: Stats,
        folder: str | Path,
        start: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        labels = text_labels(conf, stats, folder, start)
        if conf.get("spk_embed_dim") is not None and not conf.get("spembs_kind"):
            labels["spembs_kind"] = vector_kind(folder)
        return labels

    @property
    def label_rows(self) -> dict[str, str]:
        rows = {"encoder.embedding.weight": "tokens", "emotion_tokens.tokens": "emotions"}
        # Speaker vectors are measured, so those of the new data count.
        return rows | ({"voice.weight": "speakers"} if isinstance(self.voice, nn.Embedding) else {"spembs": ""})

    def take_vectors(self, folder: str | Path) -> None:
        """Take the speakers' vectors from a feature directory, mean and deviation from the statistics, as needed."""
        if self.standardize:
            moments = self.stats.get()
            self.feats_mean.copy_(torch.from_numpy(np.asarray(moments.feats_mean)))
            self.feats_std.copy_(torch.from_numpy(np.asarray(moments.feats_std)))
        if isinstance(self.voice, nn.Linear):
            vectors = voice_vectors(folder, self.speakers, self.voice.in_features)
            self.spembs.copy_(torch.from_numpy(vectors))

    def check_contract(self) -> None:
        """UserError for features that are no mel spectrograms. Takes the value of silence from their contract."""
        if self.contract.kind != "mel":
            raise UserError(
                f"emotts makes mel spectrograms, and '{self.contract.name}' is of the kind {self.contract.kind}: use "
                f"--feats_conf conf/feats_hifigan.yaml"
            )
        if not self.silence_given:
            self.silence = self.reference.silence = float(compress(np.zeros((1, 1)), self.contract)[0, 0])

    def voices(self, sids: torch.Tensor) -> torch.Tensor:
        """Speakers by number [B] -> [B, hidden]."""
        return self.voice(sids if isinstance(self.voice, nn.Embedding) else self.spembs[sids])

    def emotion_logits(self, feats: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Scores [B, E] of the emotion tokens, before the softmax, for recordings [B, T, n_mels]."""
        if self.training and self.augment is not None:
            there = length_mask(lengths, feats.shape[1])[..., None]
            feats = self.augment.warp(torch.where(there, feats, self.silence))
            feats = self.augment.mask(feats, torch.full_like(feats[0, 0], self.silence))
        return self.emotion_tokens.logits(self.reference(feats, lengths)).float()

    def speak(
        self,
        text: torch.Tensor,
        text_lengths: torch.Tensor,
        voice: torch.Tensor,
        emotion: torch.Tensor,
        durations: torch.Tensor | None = None,
        frames: int | None = None,
        speed: float = 1.0,
    ) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
        """Phones to mel spectrograms.

        Args:
            text: phones by number [B, L], 0 for padding; ``text_lengths`` [B].
            voice, emotion: [B, hidden].
            durations: frames of every phone [B, L]; None: those that are predicted, divided by ``speed``.
            frames: of the longest utterance, where durations are given.

        Returns:
            spectrograms [B, T, n_mels] of all blocks (in evaluation of the last one); ln(frames + 1) [B, L] as they are
            predicted; durations [B, L] as they were used: T is the largest sum.
        """
        mask = length_mask(text_lengths, text.shape[1])
        keep = mask[..., None].to(emotion.dtype)
        encoded = self.encoder(text, mask) + emotion[:, None] * keep
        fused, predicted = self.predictor(encoded, mask, voice)
        if durations is None:
            durations = (((predicted.float().exp() - 1) / speed).round().clamp(min=0) * mask).long()
            # An untrained predictor may leave nothing to be heard.
            durations = torch.where(durations.sum(1, keepdim=True) > 0, durations, mask.long())
            frames = int(durations.sum(1).max())
        long = regulate(fused, durations, frames or 0)
        there = length_mask(durations.sum(1), long.shape[1])
        made = self.decoder(long, there, voice)
        if self.standardize:
            made = [(mel.float() * self.feats_std + self.feats_mean) * there[..., None] for mel in made]
        return made, predicted, durations

    def forward(
        self, turn: str | None = None, step: int = 0, cache: BatchCache | None = None, **batch: Any
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """Losses on whole utterances: ``feats`` [B, T, n_mels], ``text`` and ``durations`` [B, L], ``sids`` and
        ``eids`` [B] (-1: soft token, no emotion loss), with lengths.

        Averages over an epoch are of batches, by their size: one without any labelled utterance counts as 0 in
        ``emotion`` and ``emotion_acc``, which are hence too low where only some speakers are labelled. (All processes
        must name the same stats, so these two cannot be left out of such a batch.)
        """
        feats, lengths, eids = batch["feats"], batch["feats_lengths"], batch["eids"]
        logits = self.emotion_logits(feats, lengths)
        labelled = eids >= 0
        target = F.one_hot(eids.clamp(min=0), logits.shape[1]).to(logits.dtype)
        emotion = self.emotion_tokens.embed(torch.where(labelled[:, None], target, logits.softmax(-1)))
        made, predicted, _ = self.speak(
            batch["text"],
            batch["text_lengths"],
            self.voices(batch["sids"]),
            emotion,
            batch["durations"],
            feats.shape[1],
        )
        errors = torch.stack([mel_error(x, feats, lengths, self.mel_loss == "repo") for x in made])
        there = length_mask(batch["text_lengths"], predicted.shape[1])
        gap = (predicted.float() - (batch["durations"] + 1).float().log()) * there
        stats = {"mel": errors[-1], "duration": gap.square().sum() / there.sum()}
        stats["emotion"] = emotion_error(logits, eids, self.emotion_loss == "bce")
        right = (logits.argmax(-1) == eids) & labelled
        stats["emotion_acc"] = right.sum() / labelled.sum().clamp(min=1)
        loss = errors.mean() + self.emotion_weight * stats["emotion"] + self.duration_weight * stats["duration"]
        stats["loss"] = loss
        return loss, {k: v.detach() for k, v in stats.items()}, torch.full((), float(len(feats)), device=feats.device)

    def emotion_embedding(self, target: ConversionTarget) -> tuple[torch.Tensor, torch.Tensor]:
        """Embedding [1, hidden] of what a target asks for, and the scores [1, E] of the tokens.

        ``intensity`` goes on the line from neutral (without such an emotion: from the mean of all tokens).
        """
        device = self.emotion_tokens.tokens.device
        if target.style == "reference" or (target.style is None and target.reference is not None):
            if target.reference is None:
                raise UserError("the style 'reference' needs a reference recording")
            feats = torch.from_numpy(np.array(target.reference["feats"], dtype=np.float32)).to(device)[None]
            scores = self.emotion_logits(feats, torch.tensor([feats.shape[1]], device=device)).softmax(-1)
        else:
            number = torch.tensor([self.number("emotion", target.emotion)], device=device)
            scores = F.one_hot(number, len(self.emotions)).float()
        if target.intensity == 1.0:
            return self.emotion_tokens.embed(scores), scores
        origin = torch.full_like(scores, 1 / len(self.emotions))
        if NEUTRAL in self.emotions:
            origin = F.one_hot(torch.tensor([self.emotions.index(NEUTRAL)], device=device), len(self.emotions)).float()
        return self.emotion_tokens.embed(origin + target.intensity * (scores - origin)), scores

    @torch.inference_mode()
    def convert(self, source: Mapping[str, Any], target: ConversionTarget) -> dict[str, Any]:
        """Speak the source's ``phones`` (a list), by the target's speaker (else the source's, else the vector
        ``target.voice``), with its emotion.

        Returns:
            ``feats`` [T, n_mels], ``durations`` [L], ``scores`` of the emotions [E]; ``f0`` and ``power`` are None.
        """
        if source.get("phones") is None:
            raise UserError(
                "this system speaks text, and none is known of the source: use `evc2 synthesize --text ...`"
            )
        device = self.emotion_tokens.tokens.device
        text = torch.from_numpy(Tokens(self.tokens).ids(source["phones"])).to(device)[None]
        if target.voice is not None:
            voice = self.external_voice(target.voice)
        else:
            number = self.number("speaker", target.speaker or source.get("speaker"))
            voice = self.voices(torch.tensor([number], device=device))
        emotion, scores = self.emotion_embedding(target)
        lengths = torch.tensor([text.shape[1]], device=device)
        made, _, durations = self.speak(text, lengths, voice, emotion, speed=target.speed)
        out = {"feats": made[-1][0].float(), "durations": durations[0], "scores": scores[0]}
        return {"f0": None, "power": None, **{key: value.cpu().numpy() for key, value in out.items()}}

    def external_voice(self, vector: np.ndarray) -> torch.Tensor:
        """A speaker vector [D] that the training did not have -> [1, hidden]."""
        if not isinstance(self.voice, nn.Linear) or vector.shape != (self.voice.in_features,):
            wants = (
                f"vectors of {self.voice.in_features} values" if isinstance(self.voice, nn.Linear) else "its own table"
            )
            raise UserError(f"this model's voices come from {wants}; found a speaker vector of shape {vector.shape}")
        return self.voice(torch.from_numpy(np.asarray(vector, dtype=np.float32)).to(self.voice.weight.device)[None])

    @torch.inference_mode()
    def teacher_forced(self, source: Mapping[str, Any]) -> np.ndarray:
        """Mel spectrogram of an utterance by its own ``phones`` and ``durations``, with the token of its emotion (the
        soft one of its recording where that is unknown).
        """
        if source.get("durations") is None:
            raise UserError("teacher-forced speech needs the durations of the phones; stage 3 makes them with --align")
        device = self.emotion_tokens.tokens.device
        known = source.get("emotion") in self.emotions
        how = ConversionTarget(source["emotion"]) if known else ConversionTarget(style="reference", reference=source)
        text = torch.from_numpy(Tokens(self.tokens).ids(source["phones"])).to(device)[None]
        frames = torch.from_numpy(np.asarray(source["durations"]).astype(np.int64)).to(device)[None]
        voice = self.voices(torch.tensor([self.number("speaker", source.get("speaker"))], device=device))
        lengths = torch.tensor([text.shape[1]], device=device)
        made, _, _ = self.speak(text, lengths, voice, self.emotion_embedding(how)[0], frames, int(frames.sum()))
        return made[-1][0].float().cpu().numpy()

    def score_trial(self, source: Mapping[str, Any], reference: Mapping[str, Any], emotion: str) -> dict[str, float]:
        """How near the spoken mel bands come to the reference, as mel-cepstra: see
        :func:`evc2.feats.distance.conversion_distances`.
        """
        new = self.convert(source, ConversionTarget(emotion, reference["speaker"]))["feats"]
        cepstra = (from_log_mel(x, self.contract)[:, 1:] for x in (new, reference["feats"], source["feats"]))
        return conversion_distances(*cepstra)
