"""Speech-to-speech style transfer: one encoder for all, a generator and a patch discriminator for every domain.

Sources: AlBadawy and Lyu, "Voice conversion using speech-to-speech neuro-style transfer", Interspeech 2020; Bonnici,
Benning and Saitis, "Timbre transfer with variational auto encoding and cycle-consistent adversarial networks" (arXiv
2109.02096), sec. 3; after Liu, Breuel and Kautz (arXiv 1703.00848), eq. 1 to 8. A domain is a speaker, an instrument,
an emotion, or an emotion of a speaker. Neither transcripts nor parallel recordings are needed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from evc2.errors import UserError, nearest
from evc2.feats.distance import conversion_distances, from_log_mel
from evc2.feats.stats import Stats
from evc2.fileio.ark import ScpReader
from evc2.losses.adversarial import lsgan_discriminator, lsgan_generator
from evc2.nets.vaegan import Discriminator, Encoder, Generator, ResidualBlock, draw_weights
from evc2.systems.windows import over_windows
from evc2.train.abs_model import AbsEVCModel, BatchCache, ConversionTarget, emotions_of, speakers_of

NOISES = ("unit", "none", "learned")
PAIRINGS = ("all", "pair")


def as_it_is(crop: np.ndarray, speaker: str, emotion: str) -> np.ndarray:
    """A crop without normalisation."""
    return crop


class VAEGAN(AbsEVCModel):
    """The system.

    Args:
        domains: what to convert to, by name; see ``domain_by``.
        domain_by: what the names are: ``speaker``, ``emotion`` or ``speaker_emotion`` (``speaker:emotion``).
        value_range: [low, high], the feature values that the images show as 0 and 1; beyond is clipped.
        noise: added to the latent means in training. ``unit``: N(0, 1), published. ``learned``: with a learned
            variance. ``none``: an autoencoder. Conversion takes the means (published: adds the noise).
        pairing: ``all``: every domain is made of a random other one in each step. ``pair``: a step takes one domain in
            turn and one random other, both ways (published). With two domains both are the same.
        dim: channels of the first layer of the encoder and the last of the generators.
        n_downsample: how often the images are halved, and the channels doubled.
        encoder, generator, discriminator: further arguments of the networks; ``generator: {n_res}`` does not count
            the block that all generators share.
        gan_weight, id_weight, cycle_weight, latent_weight: of the adversarial loss, the reconstruction, the cycle and
            the difference between the mean latents of two domains.
        kl_weight: of the mean squared latents, real and of translations (0: an autoencoder's freedom).
        loudness: level in dBFS that quieter recordings are raised to before they are converted, as the recipe did to
            those of the training; None: none is.
        window: frames of a window of conversion, as ``crop_frames`` of the training.
        overlap: windows that cover a frame in conversion; their mean is taken.
    """

    turns = ("generator", "discriminator")
    collation = "crop_set"
    training_only = ("D.",)
    max_domains = 64

    def __init__(
        self,
        domains: Sequence[str] = (),
        domain_by: str = "speaker",
        value_range: Sequence[float] = (0.0, 1.0),
        noise: str = "unit",
        pairing: str = "all",
        dim: int = 32,
        n_downsample: int = 2,
        encoder: Mapping[str, Any] | None = None,
        generator: Mapping[str, Any] | None = None,
        discriminator: Mapping[str, Any] | None = None,
        gan_weight: float = 10.0,
        kl_weight: float = 0.1,
        id_weight: float = 100.0,
        cycle_weight: float = 100.0,
        latent_weight: float = 10.0,
        loudness: float | None = None,
        window: int = 128,
        overlap: int = 4,
    ):
        super().__init__()
        for name, value, known in (("noise", noise, NOISES), ("pairing", pairing, PAIRINGS)):
            if value not in known:
                raise UserError(f"vaegan: {name} is {value!r}, expected one of {', '.join(known)}")
        if not 2 <= len(set(domains)) == len(domains) <= self.max_domains:
            raise UserError(f"vaegan: domains are 2 to {self.max_domains} different names, got {list(domains)}")
        low, high = map(float, value_range)
        if not low < high:
            raise UserError(f"vaegan: value_range is {list(value_range)}, expected [low, high] with low < high")
        multiple = max(2**n_downsample, Discriminator.multiple)
        if window % multiple or not 1 <= overlap <= window:
            raise UserError(
                f"vaegan: window is {window} and overlap {overlap}; expected a multiple of {multiple} frames and 1 to "
                f"as many windows"
            )
        self.domains, self.domain_by = tuple(domains), domain_by
        self.emotions = emotions_of(domains) if domain_by != "speaker" else ()
        self.speakers = speakers_of(domains) if domain_by != "emotion" else ()
        self.low, self.high, self.noise, self.pairing = low, high, noise, pairing
        sizes = {"dim": dim, "n_downsample": n_downsample}
        self.encoder = Encoder(**sizes, **(encoder or {}), learned_variance=noise == "learned")
        self.shared = ResidualBlock(dim << n_downsample)
        draw_weights(self.shared)
        self.G = nn.ModuleList(Generator(**sizes, **(generator or {})) for _ in domains)
        self.D = nn.ModuleList(Discriminator(**(discriminator or {})) for _ in domains)
        self.gan_weight, self.kl_weight, self.id_weight = gan_weight, kl_weight, id_weight
        self.cycle_weight, self.latent_weight = cycle_weight, latent_weight
        self.loudness, self.window, self.hop = loudness, window, max(1, window // overlap)

    @classmethod
    def crops(cls, folder: str, stats: Stats, conf: Callable[[str], Any]) -> tuple[Any, Callable[..., np.ndarray]]:
        """Crops as they are: :meth:`images` brings them to the networks' range."""
        return ScpReader(f"{folder}/feats.scp"), as_it_is

    def check_contract(self) -> None:
        """UserError for features that cannot be images of these networks."""
        contract, multiple = self.contract, max(2 ** len(self.encoder.down), Discriminator.multiple)
        if contract.kind != "mel" or contract.n_mels % multiple:
            raise UserError(
                f"vaegan takes mel spectrograms of a multiple of {multiple} bands; '{contract.name}' has "
                f"{contract.dim} values of kind {contract.kind}: use conf/feats_vaegan.yaml or conf/feats_hifigan.yaml"
            )
        if (self.low, self.high) == (0.0, 1.0) and contract.scale == "none":
            raise UserError(
                f"vaegan: '{contract.name}' has values in its own units ({contract.log_base}); set value_range in "
                f"system_conf, e.g. [-11.5, 2.0] for natural logarithms"
            )

    def networks(self) -> dict[str, nn.Module]:
        own = {
            f"{kind}_{name}": net for kind in "GD" for name, net in zip(self.domains, getattr(self, kind), strict=True)
        }
        return {"encoder": self.encoder, "shared": self.shared, **own}

    def turn_parameters(self, turn: str) -> Iterator[nn.Parameter]:
        nets = (self.encoder, self.shared, self.G) if turn == "generator" else (self.D,)
        return (parameter for net in nets for parameter in net.parameters())

    def images(self, feats: torch.Tensor) -> torch.Tensor:
        """Features [..., T, n_mels] as images [..., 1, n_mels, T] with values from 0 to 1."""
        return ((feats - self.low) / (self.high - self.low)).clamp(0.0, 1.0).transpose(-1, -2).unsqueeze(-3)

    def encode(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Images [B, 1, n_mels, T] -> latent means, latents for the generators (with noise in training), KL loss []."""
        mu, logvar = self.encoder(x)
        mean = mu.float()
        if logvar is None:  # of N(mu, 1) from N(0, 1) but for its factor, as published
            kl = mean.square().mean()
        else:
            kl = -0.5 * (1 + logvar.float() - mean.square() - logvar.float().exp()).mean()
        z = mu
        if self.training and self.noise != "none":
            noise = torch.randn_like(mu)
            z = mu + (noise if logvar is None else noise * (0.5 * logvar).exp())
        return mean, self.shared(z), kl

    def sources(self, step: int) -> dict[int, int]:
        """The source domain of every target domain in this step; in validation the same at every step."""
        n = len(self.domains)
        if self.pairing == "pair" and self.training:
            target = step % n
            other = (target + 1 + int(torch.randint(n - 1, ()))) % n
            return {target: other, other: target}
        order = torch.randperm(n).tolist() if self.training else list(range(n))
        # a random cycle through all domains: nothing comes from itself, and every latent is used for one translation
        return {order[i]: order[i - 1] for i in range(n)}

    def begin_batch(self, step: int, batch: Mapping[str, Any]) -> BatchCache:
        source = self.sources(step)
        reals = self.images(batch["feats"])  # [B, N, 1, n_mels, T]
        return BatchCache(source=source, real={i: reals[:, i] for i in source})

    def forward(
        self, turn: str | None = None, step: int = 0, cache: BatchCache | None = None, **batch: Any
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """Losses of one turn (None: of all) on ``feats`` [B, N, T, n_mels], a crop of every domain."""
        cache = cache or self.begin_batch(step, batch)
        weight = torch.full((), float(len(batch["feats"])), device=batch["feats"].device)
        loss, stats = torch.zeros((), device=weight.device), {}
        for name in self.turns if turn is None else (turn,):
            part, more = getattr(self, f"{name}_loss")(cache)
            loss, stats = loss + part, {**stats, **more, f"loss_{name}": part}
        return loss, {k: v.detach() for k, v in stats.items()}, weight

    def generator_loss(self, cache: BatchCache) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """All terms of encoder and generators; leaves the fakes in the cache for the discriminators.

        The encoder sees all real images in one pass and all fakes in another, and a generator its own and the foreign
        latents in one: normalisation is image by image, so this is exact.
        """
        source, real = cache.source, cache.real
        mu, z, kl_real = self.encode(torch.cat([real[i] for i in source]))
        mu, z = (dict(zip(source, x.chunk(len(source)), strict=True)) for x in (mu, z))
        own, fake = {}, {}
        for i, j in source.items():
            own[i], fake[i] = self.G[i](torch.cat((z[i], z[j]))).chunk(2)
        cache.fake = {i: x.detach() for i, x in fake.items()}
        _, back, kl_fake = self.encode(torch.cat([fake[i] for i in source]))
        back = dict(zip(source, back.chunk(len(source)), strict=True))
        stats = {}
        for i, j in source.items():
            name = self.domains[i]
            stats[f"gan_{name}"] = lsgan_generator(self.D[i](fake[i]))
            stats[f"id_{name}"] = F.l1_loss(own[i].float(), real[i])
            stats[f"cyc_{self.domains[j]}"] = F.l1_loss(self.G[j](back[i]).float(), real[j])
        # The published sum is over domains; the means above are over all of them at once.
        stats["kl"], stats["kl_fake"] = kl_real * len(source), kl_fake * len(source)
        pairs = {frozenset(pair) for pair in source.items()}
        stats["latent"] = sum(F.l1_loss(*(mu[i].mean(0) for i in sorted(pair))) for pair in pairs)
        weights = {"gan": self.gan_weight, "id": self.id_weight, "cyc": self.cycle_weight, "latent": self.latent_weight}
        weights["kl"] = self.kl_weight
        loss = sum(weights[key.split("_")[0]] * value for key, value in stats.items())
        for key, whole in (("id_", "recon"), ("cyc_", "cycle")):  # means, by which the best model can be chosen
            stats[whole] = torch.stack([value for name, value in stats.items() if name.startswith(key)]).mean()
        return loss, stats

    def discriminator_loss(self, cache: BatchCache) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """mean((D(real) - 1)^2) + mean(D(fake)^2) of every domain (published: without the half), real and fake in one
        pass; the fakes are those made before the generators stepped.
        """
        stats, loss = {}, torch.zeros((), device=next(iter(cache.fake.values())).device)
        for i, fake in cache.fake.items():
            real = cache.real[i]
            score = self.D[i](torch.cat((real, fake.to(real.dtype))))
            stats[f"d_{self.domains[i]}"] = 2.0 * lsgan_discriminator(*score.chunk(2))
            loss = loss + stats[f"d_{self.domains[i]}"]
        return loss, stats

    def domain_number(self, speaker: str | None, emotion: str | None, role: str) -> int:
        """Number of the domain that a speaker or emotion names; UserError where the model has none."""
        parts = {"speaker": speaker, "emotion": emotion, "speaker_emotion": f"{speaker}:{emotion}"}
        name = parts[self.domain_by]
        if name not in self.domains:
            options = {"speaker": "--target_speaker", "emotion": "--emotion"}
            option = options.get(self.domain_by, "--target_speaker and --emotion")
            found = (
                f"no {role} was named" if name is None else f"{role} {name!r} is unknown{nearest(name, self.domains)}"
            )
            raise UserError(f"{found}; this model has {', '.join(self.domains)}" + f" ({option})" * (role == "target"))
        return self.domains.index(name)

    def target_number(self, source: Mapping[str, Any], target: ConversionTarget) -> int:
        """Domain that a conversion goes to; without a target speaker, the source's."""
        return self.domain_number(target.speaker or source.get("speaker"), target.emotion, "target")

    @torch.inference_mode()
    def through(self, feats: np.ndarray, to: int, own: int | None = None) -> list[np.ndarray]:
        """Features [T, n_mels], of any T, by the generator of domain ``to``; with ``own``, the source's domain, also
        what its generator makes of these, and of the source itself: each [T, n_mels].
        """
        device = next(self.parameters()).device
        images = self.images(torch.from_numpy(np.ascontiguousarray(feats, dtype=np.float32)).to(device))

        def passages(x: torch.Tensor) -> list[torch.Tensor]:
            latent = self.encode(x)[1]
            converted = self.G[to](latent).float()
            if own is None:
                return [converted]
            return [converted, self.G[own](self.encode(converted)[1]).float(), self.G[own](latent).float()]

        made = over_windows(images, passages, self.window, self.hop)
        return [(self.low + (self.high - self.low) * x[0].clamp(0, 1).T).cpu().numpy() for x in made]

    def convert(self, source: Mapping[str, Any], target: ConversionTarget) -> dict[str, np.ndarray | None]:
        feats = np.asarray(source["feats"], dtype=np.float32)
        (new,) = self.through(feats, self.target_number(source, target))
        if target.intensity != 1.0:
            new = feats + target.intensity * (new - feats)
        return {"feats": new, "f0": None, "power": None}

    def panels(self, source: Mapping[str, Any], target: ConversionTarget) -> dict[str, np.ndarray]:
        """``converted`` features; where the source's domain is one of the model's, also its ``cyclic`` ones (converted
        and back) and its ``reconstruction``: each [T, n_mels].
        """
        to = self.target_number(source, target)
        try:
            own = self.domain_number(source.get("speaker"), source.get("emotion"), "source")
        except UserError:
            return {"converted": self.convert(source, target)["feats"]}
        names = ("converted", "cyclic", "reconstruction")
        return dict(zip(names, self.through(source["feats"], to, own), strict=True))

    def unit_images(self, feats: np.ndarray) -> np.ndarray:
        return self.images(torch.from_numpy(np.asarray(feats, dtype=np.float32)))[0].numpy()

    def teacher_forced(self, source: Mapping[str, Any]) -> np.ndarray:
        return self.through(
            source["feats"], self.domain_number(source.get("speaker"), source.get("emotion"), "source")
        )[0]

    def score_trial(self, source: Mapping[str, Any], reference: Mapping[str, Any], emotion: str) -> dict[str, float]:
        """How near the converted mel bands come to the reference, as mel-cepstra: see
        :func:`evc2.feats.distance.conversion_distances`.
        """
        new = self.convert(source, ConversionTarget(emotion, reference["speaker"]))["feats"]
        cepstra = (from_log_mel(x, self.contract)[:, 1:] for x in (new, reference["feats"], source["feats"]))
        return conversion_distances(*cepstra)
