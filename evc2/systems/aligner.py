"""Training of the aligner that finds the durations of phones. It converts nothing, so it is no system by name.

All monotonic alignments of phones and frames together are made likely, with a beta-binomial prior that keeps to the
diagonal at first, and the best of them is taken: Badlani et al., "One TTS alignment to rule them all" (arXiv
2108.10447, eq. 6 to 8). Unlike there, the score of a frame is a likelihood (a Gaussian of its cepstrum in each part of
a phone, the classical hidden Markov model), no posterior of a network: where only a few different sentences are said,
as in RAVDESS, a network learns any division of a sentence that is the same every time.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from espnet2.gan_tts.jets.alignments import viterbi_decode
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from evc2.errors import UserError
from evc2.nets.layers.masks import length_mask
from evc2.train.abs_model import AbsTurnModel, BatchCache

MASKED = -1e4  # log probability of padding: finite, so that no gradient becomes NaN
FRAMES_A_STATE = 2  # a phone has fewer states where the utterance has fewer frames than this for each
#: start -> weight of the prior at first, and the steps in which it goes to 0
PRIOR = {"espeak": (0.3, 30), "flat": (1.0, 100)}
logging.getLogger("numba").setLevel(logging.WARNING)  # it would print every pass of its compiler


def beta_binomial(text_lengths: torch.Tensor, feats_lengths: torch.Tensor) -> torch.Tensor:
    """Log of the prior that frame t of T belongs to item k of N, from a table of log factorials.

    Args:
        text_lengths, feats_lengths: [B] N and T.

    Returns:
        [B, max T, max N] float32, 0 in the padding; log BetaBinomial(k; N, t, T - t + 1) with t from 1 (eq. 7 and 8).
    """
    device = text_lengths.device
    n, frames = text_lengths[:, None, None], feats_lengths[:, None, None]
    k = torch.arange(int(text_lengths.max()), device=device)
    t = torch.arange(1, int(feats_lengths.max()) + 1, device=device)[:, None]
    inside = (k < n) & (t <= frames)
    k, t = torch.where(inside, k, 0), torch.where(inside, t, 1)
    table = torch.lgamma(torch.arange(1, int((n + frames).max()) + 2, dtype=torch.float64, device=device))
    choose = table[n] - table[k] - table[n - k]
    above = table[k + t - 1] + table[n - k + frames - t] - table[n + frames]
    below = table[t - 1] + table[frames - t] - table[frames]
    return torch.where(inside, choose + above - below, 0.0).float()


def forward_sum(
    scores: torch.Tensor, text_lengths: torch.Tensor, feats_lengths: torch.Tensor, blank: float = -math.inf
) -> torch.Tensor:
    """Log of the sum over all monotonic alignments of the product of their scores (eq. 6), by torch's CTC.

    Args:
        scores: [B, T, L] log score of every item at every frame, normalised or not.
        text_lengths, feats_lengths: [B].
        blank: log score of "no item" (espnet2's ForwardSumLoss has -1); without it every frame has an item.

    Returns:
        [B].
    """
    longest = scores.shape[2]
    scores = scores.masked_fill(~length_mask(text_lengths, longest)[:, None], MASKED)
    scores = functional.pad(scores, (1, 0), value=max(blank, MASKED))
    # CTC's gradient holds for normalised scores only; each path passes each frame once, so the sums can be added back.
    sums = (scores.logsumexp(2) * length_mask(feats_lengths, scores.shape[1])).sum(1)
    # Every item is a class of its own, however often its phone is said, so classes count through the utterance.
    classes = torch.arange(1, longest + 1, device=scores.device).expand(len(scores), -1)
    normal = scores.log_softmax(2).transpose(0, 1)
    return sums - functional.ctc_loss(normal, classes, feats_lengths, text_lengths, reduction="none")


class Aligner(AbsTurnModel):
    """Hidden Markov models of phones, independent of the speaker: a Gaussian of cepstra and their slopes a state.

    Args:
        n_mels: bands of the log-mel spectrogram.
        tokens: phones by their number in ``text``; 0 is padding.
        g2p: what the phones were made by (kept for those who use the durations).
        states: parts of a phone (begin, middle, end), a frame or more each; fewer where there are too few frames.
        cepstra: coefficients of the cosine transform of a frame; their slopes are as many more.
        start: ``espeak`` (the task has espeak-ng say the training texts, and starts from how it sounds) or ``flat``.
    """

    turns: ClassVar[tuple[str, ...]] = ("main",)
    collation: ClassVar[str] = "utterance"

    def __init__(
        self,
        n_mels: int,
        tokens: Sequence[str],
        g2p: Mapping[str, Any] | None = None,
        states: int = 3,
        cepstra: int = 16,
        start: str = "espeak",
    ):
        super().__init__()
        if len(tokens) < 3:
            raise UserError(f"tokens: expected <pad>, <unk> and phones, found {list(tokens)}")
        if start not in PRIOR or states < 1 or not 1 < cepstra <= n_mels:
            raise UserError(
                f"expected start espeak or flat, 1 state or more and 2 to {n_mels} cepstra; found {start!r}, {states} "
                f"states and {cepstra} cepstra"
            )
        self.tokens, self.g2p, self.states = list(tokens), dict(g2p or {}), states
        self.start, self.prior = start, PRIOR[start]
        angle = math.pi / n_mels * torch.outer(torch.arange(n_mels) + 0.5, torch.arange(cepstra))
        basis = math.sqrt(2 / n_mels) * torch.cos(angle)
        self.register_buffer("basis", basis * torch.where(torch.arange(cepstra) == 0, math.sqrt(0.5), 1.0))
        self.register_buffer("center", torch.zeros(2 * cepstra))
        self.register_buffer("scale", torch.ones(2 * cepstra))
        self.mean = nn.Parameter(0.1 * torch.randn(len(tokens) * states, 2 * cepstra))
        self.log_var = nn.Parameter(torch.zeros(len(tokens) * states, 2 * cepstra))

    def cepstra(self, feats: torch.Tensor) -> torch.Tensor:
        """Cepstra [T, D] and their slopes of one utterance [T, n_mels]; its louder frames have mean 0.

        That takes out level, voice and microphone, however much silence there is around the speech.
        """
        level = feats.mean(1)
        low, high = torch.quantile(level, torch.tensor([0.05, 0.95], device=feats.device))
        x = (feats - feats[level >= (low + high) / 2].mean(0)) @ self.basis
        side = functional.pad(x.T[None], (2, 2), mode="replicate")[0].T
        slope = 0.2 * (side[4:] - side[:-4]) + 0.1 * (side[3:-1] - side[1:-3])
        return (torch.cat((x, slope), 1) - self.center) / self.scale

    def expand(self, text: torch.Tensor, frames: int) -> tuple[torch.Tensor, int]:
        """States of the phones [L] of an utterance: [L * n] numbers, and n, the states of each phone."""
        n = min(max(frames // (FRAMES_A_STATE * len(text)), 1), self.states)
        parts = torch.tensor([(2 * i + 1) * self.states // (2 * n) for i in range(n)], device=text.device)
        return (text[:, None] * self.states + parts).flatten(), n

    def scores(self, x: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        """Log likelihood [B, T, N] of the cepstra [B, T, D] in states [B, N], less a constant."""
        log_var = self.log_var.clamp(-3, 3)
        weight = torch.exp(-log_var)
        offset = (self.mean**2 * weight + log_var).sum(1)
        every = -0.5 * (x**2 @ weight.T - 2 * x @ (self.mean * weight).T + offset)
        return every.gather(2, states[:, None].expand(-1, x.shape[1], -1))

    def forward(
        self,
        turn: str | None = None,
        step: int = 0,
        cache: BatchCache | None = None,
        *,
        feats: torch.Tensor,
        feats_lengths: torch.Tensor,
        text: torch.Tensor,
        text_lengths: torch.Tensor,
        **_: Any,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """Negative log likelihood of a frame; with the prior, while it lasts.

        Args:
            feats: [B, T, n_mels] log-mel.
            text: [B, L] numbers of the tokens.
            feats_lengths, text_lengths: [B].
        """
        sizes = list(zip(feats_lengths.tolist(), text_lengths.tolist(), strict=True))
        x = pad_sequence([self.cepstra(one[:t]) for one, (t, _) in zip(feats, sizes, strict=True)], True)
        chains = [self.expand(one[:n], t)[0] for one, (t, n) in zip(text, sizes, strict=True)]
        lengths = torch.tensor([len(chain) for chain in chains], device=feats.device)
        scores = self.scores(x, pad_sequence(chains, True))
        weight = self.prior[0] * (1 - step / self.prior[1])
        if weight > 0 and self.training:
            scores = scores + weight * beta_binomial(lengths, feats_lengths)
        loss = -(forward_sum(scores, lengths, feats_lengths) / feats_lengths).mean()
        return loss, {"loss": loss.detach()}, torch.full((), float(len(feats)), device=feats.device)

    @torch.no_grad()
    def begin(
        self, frames: Sequence[torch.Tensor], spoken: Sequence[tuple[torch.Tensor, np.ndarray, np.ndarray]]
    ) -> None:
        """Scale the cepstra to the training data, and start the phones from speech whose alignment is known.

        Args:
            frames: log-mel [T, n_mels] of training utterances.
            spoken: log-mel [T, n_mels], numbers of the tokens [L] and their durations [L] of known utterances; none:
                a flat start.
        """
        x = torch.cat([self.cepstra(one) for one in frames]).double()
        self.scale.copy_(x.std(0).clamp_min(1e-3))
        self.center.copy_(x.mean(0))
        found: dict[int, list[torch.Tensor]] = {}
        for feats, text, durations in spoken:
            x = self.cepstra(feats)
            edges = np.concatenate(([0], np.cumsum(durations)))
            for token, first, last in zip(text.tolist(), edges[:-1], edges[1:], strict=True):
                for part in range(self.states):
                    begin = first + (last - first) * part // self.states
                    end = max(first + (last - first) * (part + 1) // self.states, begin + 1)
                    found.setdefault(token * self.states + part, []).append(x[begin:end])
        for state, pieces in found.items():
            x = torch.cat(pieces)
            if len(x):  # real voices vary more than a synthetic one: half of all variance is added
                self.mean[state] = x.mean(0)
                self.log_var[state] = torch.log(x.var(0, unbiased=False) + 0.5)

    @torch.no_grad()
    def align(self, feats: np.ndarray, text: np.ndarray, name: str = "the utterance") -> tuple[np.ndarray, float]:
        """Durations and how likely they are.

        Args:
            feats: [T, n_mels] log-mel.
            text: [L] numbers of the tokens.
            name: of the utterance, for messages.

        Returns:
            frames of each phone, int64 [L], at least 1 each and T in all; mean log likelihood of a frame, in nats, less
            a constant.

        Raises:
            UserError: no phones, or fewer frames than phones.
        """
        if not 0 < len(text) <= len(feats):
            raise UserError(
                f"{name}: expected a frame or more for each of its phones, found {len(feats)} frames and {len(text)} "
                f"phones; the text may not be what is said, or the recording be cut off: leave it out or mend it"
            )
        device = self.center.device
        x = self.cepstra(torch.as_tensor(feats, dtype=torch.float32, device=device))
        chain, n = self.expand(torch.as_tensor(text, dtype=torch.int64, device=device), len(x))
        scores = self.scores(x[None], chain[None]).cpu()
        found, path = viterbi_decode(scores, torch.tensor([len(chain)]), torch.tensor([len(x)]))
        return found[0].numpy().astype(np.int64).reshape(-1, n).sum(1), -float(path)

    def durations(self, feats: np.ndarray, text: np.ndarray, name: str = "the utterance") -> np.ndarray:
        """The durations alone, see :meth:`align`."""
        return self.align(feats, text, name)[0]
