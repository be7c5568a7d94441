"""Emotional voice conversion by a style-transfer autoencoder: content code, emotion style code, AdaIN decoder.

Source: Gao, Chakraborty, Tembine, Olaleye, "Nonparallel emotional speech conversion", Interspeech 2019 (arXiv
1811.01174), after Huang, Liu, Belongie and Kautz, "Multimodal unsupervised image-to-image translation" (arXiv
1804.04732), eq. 1 to 5.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from evc2.errors import UserError, nearest
from evc2.losses.adversarial import class_loss, lsgan_discriminator, lsgan_generator
from evc2.nets.cyclegan import Discriminator
from evc2.nets.munit import ContentEncoder, Decoder, StyleEncoder, StyleMLP
from evc2.systems.spectral import SpectralEVC
from evc2.train.abs_model import BatchCache, ConversionTarget

PARTS = ("content", "style", "mlp", "decoder")
STYLE_MOMENTUM = 0.01  # the mean style is over about the last hundred batches of a domain


class MUNIT(SpectralEVC):
    """A content encoder, style encoder, decoder and discriminator for every emotion, any number of emotions.

    Args:
        domains: the emotions.
        order: coded cepstra a frame, as in the feature contract.
        power, normalize_by: see :class:`~evc2.systems.spectral.SpectralEVC`.
        shared: parts that all domains have in common: ``content``, ``style``, ``mlp``, ``decoder``. A shared decoder is
            told the emotion by the gains and biases of the domain's MLP, or, where that is shared, by the style alone.
        style_dim: size of the style code.
        style_draw: style of conversions in training: ``normal`` (drawn from N(0, 1), published), ``encoded`` (of the
            target crop of the batch), ``both`` (one half each).
        fixed_targets: whether the codes that re-encoding must give back are constants. Published: false, so the loss
            may also fall by contents that say less, and does so before the features are reconstructed.
        adain: ``layer``: gain and bias for each adaptive normalisation; ``shared``: one for all (published).
        content, style, decoder, discriminator: arguments of the networks.
        lambda_x, lambda_s, lambda_c, lambda_g, lambda_cycle: weights of reconstruction, style and content
            reconstruction, adversarial and explicit cycle loss.
        lambda_cls: weight of the emotion classification loss; the classifiers share the discriminators' trunks.
    """

    turns = ("discriminator", "generator")
    training_only = ("D.",)
    styles = ("mean", "reference", "random")
    max_domains = 12

    def __init__(
        self,
        domains: Sequence[str] = ("neutral", "angry"),
        order: int = 24,
        power: str = "gaussian",
        normalize_by: str = "speaker_emotion",
        shared: Sequence[str] = ("content",),
        style_dim: int = 16,
        style_draw: str = "both",
        fixed_targets: bool = True,
        adain: str = "layer",
        content: Mapping[str, Any] | None = None,
        style: Mapping[str, Any] | None = None,
        decoder: Mapping[str, Any] | None = None,
        discriminator: Mapping[str, Any] | None = None,
        lambda_x: float = 10.0,
        lambda_s: float = 1.0,
        lambda_c: float = 1.0,
        lambda_g: float = 1.0,
        lambda_cycle: float = 0.0,
        lambda_cls: float = 0.0,
    ):
        super().__init__(domains, power, normalize_by)
        if style_draw not in ("normal", "encoded", "both"):
            raise UserError(f"munit: style_draw is {style_draw!r}, expected normal, encoded or both")
        for part in shared:
            if part not in PARTS:
                raise UserError(f"munit: shared: no part {part!r}{nearest(part, PARTS)}; parts: {', '.join(PARTS)}")
        dim, number, self.style_draw = order - self.first, len(self.domains), style_draw
        count = {part: 1 if part in shared else number for part in PARTS}
        self.content = nn.ModuleList(ContentEncoder(dim, **(content or {})) for _ in range(count["content"]))
        self.style = nn.ModuleList(
            StyleEncoder(dim, style_dim=style_dim, **(style or {})) for _ in range(count["style"])
        )
        self.decoder = nn.ModuleList(Decoder(dim, **(decoder or {})) for _ in range(count["decoder"]))
        width, norms = self.decoder[0].out.in_channels * 4, self.decoder[0].norms
        self.mlp = nn.ModuleList(StyleMLP(style_dim, width, norms, adain) for _ in range(count["mlp"]))
        heads = {"num_classes": number if lambda_cls else 0}
        self.D = nn.ModuleList(Discriminator(**heads, **(discriminator or {})) for _ in range(number))
        for module in self.D.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.02)
        self.lambda_x, self.lambda_s, self.lambda_c = lambda_x, lambda_s, lambda_c
        self.lambda_g, self.lambda_cycle, self.lambda_cls = lambda_g, lambda_cycle, lambda_cls
        self.fixed_targets = fixed_targets
        self.register_buffer("style_mean", torch.zeros(number, style_dim))
        self.register_buffer("style_std", torch.ones(number, style_dim))
        self.register_buffer("style_seen", torch.zeros(number))

    def networks(self) -> dict[str, nn.Module]:
        parts = {name: getattr(self, name) for name in (*PARTS, "D")}
        return {
            name if len(nets) == 1 else f"{name}_{domain}": net
            for name, nets in parts.items()
            for domain, net in zip(self.domains, nets, strict=False)
        }

    def turn_parameters(self, turn: str) -> Iterator[nn.Parameter]:
        parts = PARTS if turn == "generator" else ("D",)
        return chain.from_iterable(getattr(self, name).parameters() for name in parts)

    def part(self, name: str, domain: int) -> nn.Module:
        """The network of a domain, which may be everyone's."""
        nets = getattr(self, name)
        return nets[domain if len(nets) > 1 else 0]

    def encode(self, i: int, j: int, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Content of a and b, style of a and b, for crops of the domains i and j; in one pass where shared."""
        codes = []
        for name in ("content", "style"):
            if len(getattr(self, name)) == 1:
                codes += self.part(name, 0)(torch.cat((a, b))).chunk(2)
            else:
                codes += [self.part(name, i)(a), self.part(name, j)(b)]
        return tuple(codes)

    def decode(
        self, i: int, content: Sequence[torch.Tensor], style: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, ...]:
        """Features of the domain i from several (content, style), in one pass."""
        params = self.part("mlp", i)(torch.cat(tuple(style)))
        return self.part("decoder", i)(torch.cat(tuple(content)), params).chunk(len(style))

    def draw(self, encoded: torch.Tensor) -> torch.Tensor:
        """Styles for conversions to the domain whose real crops have these: [B, style_dim]."""
        if self.style_draw == "encoded":
            return encoded
        noise = torch.randn_like(encoded)
        if self.style_draw == "normal":
            return noise
        return torch.where(torch.rand(len(encoded), 1, device=encoded.device) < 0.5, noise, encoded)

    def begin_batch(self, step: int, batch: Mapping[str, Any]) -> BatchCache:
        """Encode and decode once for both turns: the discriminators see the same fakes that the generators answer for.

        The discriminators step first, as published, and do not touch what was computed here.
        """
        a, b = (batch[name].transpose(1, 2)[:, self.first :] for name in ("A", "B"))
        i, j = batch.get("domains", (0, 1))
        c_a, c_b, s_a, s_b = self.encode(i, j, a, b)
        z_a, z_b = self.draw(s_a), self.draw(s_b)
        x_aa, x_ba = self.decode(i, (c_a, c_b), (s_a, z_a))
        x_bb, x_ab = self.decode(j, (c_b, c_a), (s_b, z_b))
        if self.training and torch.is_grad_enabled():
            self.remember(i, s_a)
            self.remember(j, s_b)
        return BatchCache(a=a, b=b, pair=(i, j), content=(c_a, c_b), style=(s_a, s_b), drawn=(z_a, z_b),
                          own=(x_aa, x_bb), fake=(x_ba, x_ab))  # fmt: skip

    @torch.no_grad()
    def remember(self, domain: int, style: torch.Tensor) -> None:
        """Take styles [B, style_dim] into the running mean and deviation of a domain."""
        style = style.float()
        rate = torch.clamp(1.0 / (self.style_seen[domain] + 1.0), min=STYLE_MOMENTUM)
        self.style_mean[domain] += rate * (style.mean(0) - self.style_mean[domain])
        spread = (style - self.style_mean[domain]).square().mean(0).sqrt()
        self.style_std[domain] += rate * (spread - self.style_std[domain])
        self.style_seen[domain] += 1.0

    def discriminator_loss(self, cache: BatchCache, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """mean((D(real) - 1)^2) + mean(D(fake)^2) of both domains, times lambda_g (published: without the half)."""
        stats, n = {}, len(cache.a)
        reals, loss = (cache.a, cache.b), torch.zeros((), device=cache.a.device)
        for k, name in enumerate("AB"):
            domain, other = cache.pair[k], cache.pair[1 - k]
            parts = [reals[k], cache.fake[k].detach().to(reals[k].dtype)]
            if self.lambda_cls:  # every classifier sees real speech of all emotions, never fakes
                parts.append(reals[1 - k])
            score, logits = self.D[domain](torch.cat(parts))
            stats[f"D_{name}"] = 2.0 * lsgan_discriminator(score[:n], score[n : 2 * n])
            loss = loss + self.lambda_g * stats[f"D_{name}"]
            if self.lambda_cls:
                stats[f"cls_D_{name}"] = class_loss(logits[:n], domain) + class_loss(logits[2 * n :], other)
                loss = loss + self.lambda_cls * stats[f"cls_D_{name}"]
        return loss, {**stats, "loss_discriminator": loss}

    def generator_loss(self, cache: BatchCache, step: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Reconstruction of features, style and content, adversarial and (if weighted) explicit cycle loss."""
        (i, j), (x_ba, x_ab) = cache.pair, cache.fake
        c_b, c_a, s_a, s_b = self.encode(i, j, x_ba, x_ab)
        (score_a, logits_a), (score_b, logits_b) = self.D[i](x_ba), self.D[j](x_ab)
        contents, styles = cache.content, cache.drawn
        if self.fixed_targets:
            contents, styles = ([code.detach() for code in codes] for codes in (contents, styles))
        stats = {
            "adv_A": lsgan_generator(score_a),
            "adv_B": lsgan_generator(score_b),
            "recon": l1(cache.own[0], cache.a) + l1(cache.own[1], cache.b),
            "style": l1(s_a, styles[0]) + l1(s_b, styles[1]),
            "content": l1(c_a, contents[0]) + l1(c_b, contents[1]),
        }
        loss = (
            self.lambda_g * (stats["adv_A"] + stats["adv_B"])
            + self.lambda_x * stats["recon"]
            + self.lambda_s * stats["style"]
            + self.lambda_c * stats["content"]
        )
        if self.lambda_cls:
            stats["cls_G"] = class_loss(logits_a, i) + class_loss(logits_b, j)
            loss = loss + self.lambda_cls * stats["cls_G"]
        if self.lambda_cycle:
            (x_aba,) = self.decode(i, (c_a,), (cache.style[0],))
            (x_bab,) = self.decode(j, (c_b,), (cache.style[1],))
            stats["cycle"] = l1(x_aba, cache.a) + l1(x_bab, cache.b)
            loss = loss + self.lambda_cycle * stats["cycle"]
        stats["loss_generator"] = loss
        return loss, stats

    def network(self, x: torch.Tensor, pair: tuple[int, int], target: ConversionTarget) -> torch.Tensor:
        """Content of the source, style by ``target.style``, moved from the source's own by the intensity."""
        i, j = pair
        style = self.target_style(j, target)
        if target.spectrum_share != 1.0:
            own = self.part("style", j)(x)  # in the space of the target's styles
            style = own + target.spectrum_share * (style - own)
        return self.decode(j, (self.part("content", i)(x),), (style,))[0]

    def target_style(self, domain: int, target: ConversionTarget) -> torch.Tensor:
        """Style code [1, style_dim] that a conversion asks for.

        Raises:
            UserError: unknown kind of style, or no reference where it needs one.
        """
        kind = target.style or self.styles[0]
        mean, std = self.style_mean[domain, None], self.style_std[domain, None]
        if kind == "mean":
            return mean
        if kind == "random":
            noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(target.seed)).to(mean)
            return noise if self.style_draw == "normal" else mean + std * noise
        if kind != "reference":
            raise UserError(f"style is {kind!r}, expected one of {', '.join(self.styles)}")
        if target.reference is None:
            raise UserError("the style 'reference' needs a reference recording (--reference WAV)")
        moments = self.moments_for(target.reference, self.emotions[domain])
        return self.part("style", domain)(self.tensor(self.normalized(target.reference["feats"], moments)))

    def blend(self, intensity: float) -> float:
        """Beyond 1 the style alone is exaggerated."""
        return min(intensity, 1.0)


def l1(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference in full precision."""
    return F.l1_loss(x.float(), y.float())
