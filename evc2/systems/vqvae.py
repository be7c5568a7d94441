"""Speech units and voices for them: a VQ-VAE-2 with a speaker-conditional decoder, and a MelGAN on its codes.

Sources: the published entry to the ZeroSpeech Challenge 2020 that this follows (networks, losses, three ways of
training); Razavi et al. (arXiv 1906.00446) and van den Oord et al. (arXiv 1711.00937) for the codes; Kumar et al.
(arXiv 1910.06711) for the generator and its discriminators; Ganin et al. (arXiv 1505.07818) for the reversed gradient.
Neither transcripts nor parallel recordings are needed; any recording can be given one of the voices.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from evc2.errors import UserError, nearest
from evc2.feats.contract import FeatureContract
from evc2.feats.mel import compress, log_mel, nats
from evc2.losses.vocoder import discriminate
from evc2.nets.layers.logmel import LogMel, padding
from evc2.nets.melgan import build_generator
from evc2.nets.vocoders import build_discriminator
from evc2.nets.vqvae import CodeEncoder, Codes, MelDecoder, SpeakerClassifier, draw_weights, with_speaker
from evc2.systems.vqvae_losses import AdversaryRamp, held, melgan_generator, reverse_gradient
from evc2.systems.windows import in_pieces
from evc2.train.abs_model import AbsEVCModel, BatchCache, ConversionTarget

TRAINS = ("vqvae", "vocoder", "vocoder_encoder", "joint")
ADVERSARIES = ("none", "reversal", "alternating")
CYCLES = ("none", "own", "other", "both")
FRAMES = 8  # of a top code: spectrograms are filled up to a multiple
LEAST = 16  # frames of the shortest that the vocoder's reflected edges allow
PER_CODE = 4  # frames of a bottom code, one place of the vocoder's input


class VQVAE(AbsEVCModel):
    """The system.

    Args:
        speakers: all that the decoder of spectrograms tells apart (empty: those of the training data).
        voices: those that the MelGAN speaks with; in a configuration patterns such as ``V*``.
        trains: what this training changes. ``vqvae``: encoder and decoder, on all data (the first part of the methods
            1 and 2). ``vocoder``: the MelGAN on the voices, the codes as they are (method 1). ``vocoder_encoder``: also
            the encoder and its codebooks (method 2). ``joint``: everything, from scratch (method 3).
        n_mels: mel bands (filled in from the contract).
        encoder: further arguments of :class:`~evc2.nets.vqvae.CodeEncoder` (``levels``, ``n_embed``, ``channels`` ...).
        speaker_dim: size of a speaker vector.
        commitment: weight of the commitment loss.
        adversary: ``reversal``: a speaker classifier learns with the VQ-VAE, its gradient reversed for the codes.
            ``alternating``: it has a turn of its own, and the codes are to raise its loss. ``none``.
        ramp: {max, every, size} of the adversary's weight, min(floor(step / every) * size, max).
        classifier: further arguments of :class:`~evc2.nets.vqvae.SpeakerClassifier`.
        generator: arguments of the MelGAN generator; its input is filled in.
        discriminator: as for the vocoders.
        adversarial_weight, fm_weight, mel_weight, cycle_weight: of the generator's hinge loss, feature matching, L1 of
            spectrograms, and L1 between the codes of its speech and those that it was made of (self-cycle).
        cycle: whose voice the self-cycle takes: ``own``, a random ``other``, ``both``, or ``none``.
        vqvae_weight: of the VQ-VAE's own loss while ``vocoder_encoder`` and ``joint`` train.
        encoder_lr: learning rate of the VQ-VAE there, as a factor of the generator's.
    """

    turns: ClassVar[tuple[str, ...]] = ("speaker_classifier", "vqvae", "discriminator", "generator")
    collation = "crop_wav"
    training_only = ("discriminator.", "speaker_classifier.")
    per_code = PER_CODE
    not_averaged = ("encoder.quantize_t.", "encoder.quantize_b.")

    def __init__(
        self,
        speakers: Sequence[str] = (),
        voices: Sequence[str] = ("*",),
        trains: str = "vqvae",
        n_mels: int = 80,
        encoder: Mapping[str, Any] | None = None,
        speaker_dim: int = 32,
        commitment: float = 0.25,
        adversary: str = "none",
        ramp: Mapping[str, float] | None = None,
        classifier: Mapping[str, Any] | None = None,
        generator: Mapping[str, Any] | None = None,
        discriminator: Mapping[str, Any] | None = None,
        adversarial_weight: float = 1.0,
        fm_weight: float = 10.0 * 0.8 / 3,
        mel_weight: float = 0.0,
        cycle_weight: float = 0.0,
        cycle: str = "none",
        vqvae_weight: float = 1.0,
        encoder_lr: float = 0.1,
    ):
        super().__init__()
        for name, value, known in (("trains", trains, TRAINS), ("adversary", adversary, ADVERSARIES),
                                   ("cycle", cycle, CYCLES)):  # fmt: skip
            if value not in known:
                raise UserError(
                    f"vqvae: {name} is {value!r}, expected one of {', '.join(known)}{nearest(value, known)}"
                )
        names = list(speakers)
        if not names or len(set(names)) < len(names) or not set(voices) <= set(names):
            raise UserError(f"vqvae: speakers are different names and voices some of them, got {names}, {list(voices)}")
        self.known, self.voices, self.trains = tuple(names), tuple(voices), trains
        self.speakers = self.known if trains == "vqvae" else self.voices
        with_adversary = adversary != "none" and trains in ("vqvae", "joint")
        self.adversary = adversary if with_adversary else "none"
        own_turn = ("speaker_classifier",) if self.adversary == "alternating" else ()
        self.turns = own_turn + (("vqvae",) if trains == "vqvae" else ("discriminator", "generator"))
        self.frozen = trains == "vocoder"
        self.encoder = CodeEncoder(n_mels, **(encoder or {}))
        sizes = {k: v for k, v in (encoder or {}).items() if k in ("channels", "n_res", "preact_skip")}
        self.decoder = MelDecoder(self.encoder.dim, n_mels, speaker_dim=speaker_dim, **sizes)
        self.speaker_table = nn.Embedding(len(names), speaker_dim)
        draw_weights(self.encoder)
        draw_weights(self.decoder)
        self.ramp = AdversaryRamp(**(ramp or {}))
        if with_adversary:
            self.speaker_classifier = SpeakerClassifier(self.encoder.dim, len(names), **(classifier or {}))
        if trains != "vqvae":
            conf = {"channels": 1024, "upsample_scales": [8, 8, 4, 2, 2], **(generator or {})}
            self.generator = build_generator({**conf, "in_channels": self.encoder.dim + speaker_dim})
            self.discriminator = build_discriminator({"net": "melgan", **(discriminator or {})})
            self.voice_table = nn.Embedding(len(voices), speaker_dim)
        numbers = torch.tensor([self.voices.index(s) if s in self.voices else -1 for s in names])
        self.register_buffer("voice_of", numbers, persistent=False)
        self.commitment, self.cycle, self.cycle_weight = commitment, cycle, cycle_weight
        self.adversarial_weight, self.fm_weight, self.mel_weight = adversarial_weight, fm_weight, mel_weight
        self.vqvae_weight, self.encoder_lr = vqvae_weight, encoder_lr

    @classmethod
    def numbers(cls, conf: Mapping[str, Any]) -> dict[str, int]:
        """Number of every speaker whose recordings a training with this ``system_conf`` takes."""
        of_voices = conf.get("trains") in ("vocoder", "vocoder_encoder")
        return {name: i for i, name in enumerate(conf["speakers"]) if not of_voices or name in conf["voices"]}

    def check_contract(self) -> None:
        """UserError for features that these networks cannot work on; makes the front end."""
        contract: FeatureContract = self.contract
        bands = self.encoder.enc_b[0].in_channels
        if contract.kind != "mel" or contract.n_mels != bands or contract.center:
            raise UserError(
                f"vqvae takes mel spectrograms of {bands} bands (n_mels) with center: false; '{contract.name}' is of "
                f"kind {contract.kind} with {contract.dim} values: use conf/feats_zerospeech.yaml or "
                f"conf/feats_hifigan.yaml"
            )
        if self.trains != "vqvae" and self.generator.hop != PER_CODE * contract.hop:
            raise UserError(
                f"vqvae: the generator makes {self.generator.hop} samples a code, but a code stands for "
                f"{PER_CODE * contract.hop}: choose upsample_scales whose product is that"
            )
        self.side, self.nats = padding(contract), nats(contract)
        self.logmel = LogMel(contract).to(self.voice_of.device)
        silence = torch.from_numpy(compress(np.zeros(contract.n_mels), contract)).float()
        self.register_buffer("silence", silence.to(self.voice_of.device), persistent=False)

    def owned(self, turn: str) -> list[tuple[nn.Module, float]]:
        """Networks that a turn's optimizer steps, with the factor of its learning rate."""
        vqvae = [self.encoder, self.decoder, self.speaker_table]
        if self.adversary == "reversal":
            vqvae.append(self.speaker_classifier)
        if turn == "vqvae":
            return [(net, 1.0) for net in vqvae]
        if turn != "generator":
            return [(getattr(self, turn), 1.0)]
        nets = [(self.generator, 1.0), (self.voice_table, 1.0)]
        if self.trains == "vocoder_encoder":
            nets.append((self.encoder, self.encoder_lr))
        if self.trains == "joint":
            nets += [(net, self.encoder_lr) for net in vqvae]
        return nets

    def turn_parameters(self, turn: str) -> Iterator[nn.Parameter]:
        return (parameter for net, _ in self.owned(turn) for parameter in net.parameters())

    def turn_groups(self, turn: str) -> list[dict[str, Any]]:
        return [{"params": list(net.parameters()), "lr_scale": scale} for net, scale in self.owned(turn)]

    def train(self, mode: bool = True) -> "VQVAE":
        """As torch's; a VQ-VAE that others build on stays as it is (its statistics and codebooks would drift)."""
        super().train(mode)
        if self.frozen:
            for net in (self.encoder, self.decoder, self.speaker_table):
                net.eval()
        return self

    def begin_batch(self, step: int, batch: Mapping[str, Any]) -> BatchCache:
        """Spectrograms and codes, made once for all turns; of a vocoder's training also its speech."""
        wav = batch["wav"]
        if self.frozen and not all(q.ready for q in self.encoder.quantizers.values()):
            raise UserError("vqvae: trains: vocoder needs a trained VQ-VAE: start from one (--pretrained_model FILE)")
        with torch.no_grad():
            mel = self.logmel(wav)
        real = wav[:, self.side : self.side + mel.shape[2] * self.contract.hop]
        with torch.no_grad() if self.frozen else nullcontext():
            codes: Codes = self.encoder(mel)
        cache = BatchCache(mel=mel, real=real[:, None], codes=codes, speaker=batch["speaker"])
        if self.trains != "vqvae":
            self.speak(cache)
        return cache

    def speak(self, cache: BatchCache) -> None:
        """Speech of the codes, ``fake``: by the own voices, then by random others where the cycle asks (``others``)."""
        voice = self.voice_of[cache.speaker]
        vectors = self.voice_table(voice)
        code = cache.codes.code
        cache.others = self.cycle in ("other", "both") and self.cycle_weight > 0 and len(self.voices) > 1
        if cache.others:
            shift = torch.randint(1, len(self.voices), voice.shape, device=voice.device) if self.training else 1
            vectors = torch.cat((vectors, self.voice_table((voice + shift) % len(self.voices))))
            code = torch.cat((code, code))
        cache.fake = self.generator(with_speaker(code, vectors))

    def forward(
        self, turn: str | None = None, step: int = 0, cache: BatchCache | None = None, **batch: Any
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """Losses of one turn (None: of all) on ``wav`` [B, (F - 1) * hop + n_fft] and ``speaker`` [B] (numbers)."""
        cache = cache or self.begin_batch(step, batch)
        weight = torch.full((), float(len(cache.mel)), device=cache.mel.device)
        loss, stats = torch.zeros((), device=weight.device), {}
        for name in self.turns if turn is None else (turn,):
            part, more = getattr(self, f"{name}_loss")(cache, step)
            loss, stats = loss + part, {**stats, **more, f"loss_{name}": part}
        return loss, {k: v.detach() for k, v in stats.items()}, weight

    def speaker_classifier_loss(self, cache: BatchCache, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Cross-entropy of the speaker given the codes."""
        return self.clue(cache.codes.code.detach(), cache.speaker)

    def clue(self, code: torch.Tensor, speaker: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """What the classifier knows of the speakers [B] from codes: cross-entropy, and its accuracy among the stats."""
        logits = self.speaker_classifier(code).float()
        hit = (logits.argmax(1) == speaker).float().mean()
        return F.cross_entropy(logits, speaker), {"speaker_accuracy": hit}

    def vqvae_loss(self, cache: BatchCache, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """L1 of the spectrogram, commitment, and what the adversary asks for."""
        code = cache.codes.code
        made = self.decoder(code, self.speaker_table(cache.speaker)).float()
        rec = F.l1_loss(made, cache.mel)
        stats = {"rec": rec, "commitment": cache.codes.commitment}
        if self.trains == "vqvae":
            stats["mel_l1"] = rec * self.nats
        for level, quantizer in self.encoder.quantizers.items():
            index = None if self.training else getattr(cache.codes, level)
            stats[f"perplexity_{level}"] = quantizer.perplexity(index)
        loss = rec + self.commitment * cache.codes.commitment
        if self.adversary != "none":
            weight = self.ramp(step)
            reversal = self.adversary == "reversal"
            clue, more = self.clue(reverse_gradient(code, weight) if reversal else code, cache.speaker)
            loss = loss + clue if reversal else loss - weight * clue
            stats |= {**more, "clue": clue, "adversary_weight": torch.full_like(clue, weight)}
        return loss, stats

    def discriminator_loss(self, cache: BatchCache, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Hinge loss on recordings and on all speech made of codes."""
        real, fake = discriminate(self.discriminator, cache.real, cache.fake.detach(), "hinge")
        return real + fake, {"d_real": real, "d_fake": fake}

    def generator_loss(self, cache: BatchCache, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """What the MelGAN minimises, and the encoder where it learns on."""
        n = len(cache.real)
        own = cache.fake[:n]
        mel = self.logmel.whole(own[:, 0].float())
        error = F.l1_loss(mel, cache.mel)
        stats, loss = {"mel_l1": error * self.nats}, self.mel_weight * error
        if step >= self.start_steps.get("discriminator", 0):
            adversarial, fm = melgan_generator(self.discriminator, cache.real, cache.fake)
            loss = loss + self.adversarial_weight * adversarial + self.fm_weight * fm
            stats |= {"adversarial": adversarial, "fm": fm}
        if self.cycle != "none" and self.cycle_weight > 0:
            stats["cycle"] = self.cycle_error(cache, mel)
            loss = loss + self.cycle_weight * stats["cycle"]
        if self.trains in ("vocoder_encoder", "joint"):
            part, more = self.vqvae_loss(cache, step)
            loss, stats = loss + self.vqvae_weight * part, {**stats, **more}
        return loss, stats

    def cycle_error(self, cache: BatchCache, own_mel: torch.Tensor) -> torch.Tensor:
        """L1 between the codes of the speech that was made and those of the recording; the encoder is held still."""
        mels = [own_mel] if self.cycle in ("own", "both") else []
        if cache.others:
            mels.append(self.logmel.whole(cache.fake[len(cache.real) :, 0].float()))
        with held(self.encoder):
            with torch.no_grad():
                target = cache.codes.code if self.frozen else self.encoder(cache.mel).code
            again = self.encoder(torch.cat(mels)).code if mels else target
        return F.l1_loss(again, target.repeat(max(len(mels), 1), 1, 1))

    @torch.inference_mode()
    def encode(self, feats: np.ndarray) -> Codes:
        """Codes of features [T, n_mels] of any T >= 1; silence fills T up to a multiple of 8, and to 16."""
        x = torch.from_numpy(np.ascontiguousarray(feats, dtype=np.float32)).to(self.silence.device)
        missing = max(-len(x) % FRAMES, LEAST - len(x))
        x = torch.cat((x, self.silence.expand(missing, -1)))
        return self.encoder(x.T[None])

    def decoded(self, code: torch.Tensor, speaker: str | None) -> np.ndarray:
        """Spectrogram [4 N, n_mels] of codes [1, dim, N] by the decoder with a speaker's vector."""
        vector = self.speaker_table(self.voice_number(speaker, self.known))
        return self.decoder(code, vector)[0].T.float().cpu().numpy()

    def voice_number(self, name: str | None, table: Sequence[str]) -> torch.Tensor:
        """Number of a target voice [1]; UserError where the model has none of that name."""
        if name not in table:
            found = "no target voice was named" if name is None else f"voice {name!r} is unknown{nearest(name, table)}"
            raise UserError(f"{found}; this model has {', '.join(table)} (--target_speaker)")
        return torch.tensor([table.index(name)], device=self.silence.device)

    @torch.inference_mode()
    def convert(self, source: Mapping[str, Any], target: ConversionTarget) -> dict[str, np.ndarray | None]:
        """``feats`` [T, n_mels] by the decoder; ``wav`` [T * hop] by the MelGAN, where there is one."""
        feats = np.asarray(source["feats"], dtype=np.float32)
        name = target.speaker or source.get("speaker")
        new = self.decoded(code := self.encode(feats).code, name)[: len(feats)]
        if target.intensity != 1.0:
            return {"feats": feats + target.intensity * (new - feats), "f0": None, "power": None}
        made = {"feats": new, "f0": None, "power": None}
        if self.trains != "vqvae":
            vector = self.voice_table(self.voice_number(name, self.voices))
            wav = in_pieces(self.generator, with_speaker(code, vector))
            made["wav"] = wav[0, 0, : len(feats) * self.contract.hop].float().cpu().numpy()
        return made

    def panels(self, source: Mapping[str, Any], target: ConversionTarget) -> dict[str, np.ndarray]:
        """``converted`` features by the decoder; ``spoken``, those of the MelGAN's speech; ``reconstruction``, where
        the source's speaker is known: each [T, n_mels].
        """
        made = self.convert(source, target)
        shown = {"converted": made["feats"]}
        if made.get("wav") is not None:
            shown["spoken"] = log_mel(made["wav"], self.contract)
        if source.get("speaker") in self.known:
            shown["reconstruction"] = self.teacher_forced(source)
        return shown

    @torch.inference_mode()
    def teacher_forced(self, source: Mapping[str, Any]) -> np.ndarray:
        """What the decoder makes of the codes with the source's own speaker."""
        return self.decoded(self.encode(source["feats"]).code, source.get("speaker"))[: len(source["feats"])]
