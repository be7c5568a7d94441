"""Training and measuring the SVM judge: a linear machine a fold, each tested on speakers that it has not heard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evc2.errors import UserError
from evc2.evaluate import judge_accuracy
from evc2.evaluate.judge_accuracy import Utterances
from evc2.evaluate.judge_svm import ALL, Machine, SVMJudge, softmax

INNER = 5
"""Parts of the training speakers by which the regularisation is chosen."""


@dataclass(frozen=True)
class Examples:
    """Utterances with their features.

    Attributes:
        feats: [N, F] float64.
        emotions, speakers, vocoders: N words each; vocoder "natural" for speech that none has touched.
        strong: [N] bool, whether spoken at strong intensity; None where that is not known.
    """

    feats: np.ndarray
    emotions: np.ndarray
    speakers: np.ndarray
    vocoders: np.ndarray
    strong: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.feats)

    @property
    def known(self) -> Utterances:
        """All but the features."""
        return Utterances(self.emotions, self.speakers, self.vocoders, self.strong)

    def some(self, mask: np.ndarray) -> Examples:
        """Those where mask [N] holds."""
        strong = None if self.strong is None else self.strong[mask]
        return Examples(self.feats[mask], self.emotions[mask], self.speakers[mask], self.vocoders[mask], strong)


def fit(feats: np.ndarray, targets: np.ndarray, n_labels: int, c: float) -> Machine:
    """A linear machine, one label against the rest each, on features standardised by their own mean and deviation.

    Args:
        feats: [N, F].
        targets: [N] numbers of the labels, each of 0 .. n_labels - 1 among them.
        c: weight of the errors against the width of the margin (squared hinge loss, primal: no random numbers).

    Labels weigh alike however many utterances they have, for a judge must not favour the frequent one.
    Source: Fan et al., LIBLINEAR: a library for large linear classification, JMLR 9, 2008.
    """
    from sklearn.svm import LinearSVC

    mean, scale = feats.mean(axis=0), feats.std(axis=0)
    # A feature that hardly moves in training would be blown up by whatever it does elsewhere.
    scale = np.where(scale > 1e-8 * np.maximum(1.0, np.abs(mean)), scale, 1.0)
    svm = LinearSVC(C=c, dual=False, class_weight="balanced", max_iter=5000)
    svm.fit((feats - mean) / scale, targets)
    coef, intercept = svm.coef_.astype(np.float64), svm.intercept_.astype(np.float64)
    if n_labels == 2:  # one boundary serves both
        coef, intercept = np.concatenate([-coef, coef]), np.concatenate([-intercept, intercept])
    return Machine(mean, scale, coef, intercept)


def sharpness(decisions: np.ndarray, targets: np.ndarray) -> float:
    """The factor s > 0 with the greatest likelihood of targets [N] under softmax(s * decisions [N, L])."""
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(targets))

    def surprise(log_s: float) -> float:
        return -float(np.log(softmax(np.exp(log_s) * decisions)[rows, targets] + 1e-300).mean())

    return float(np.exp(minimize_scalar(surprise, bounds=(-3.0, 4.0), method="bounded").x))


def choose(
    feats: np.ndarray, targets: np.ndarray, speakers: np.ndarray, n_labels: int, grid: Sequence[float]
) -> tuple[float, float, float]:
    """Regularisation and sharpness by cross-validation over the training speakers alone.

    Every 5th speaker in the order of their names is held out together, with all copies of his speech.

    Returns:
        c with the highest accuracy on held-out speakers (the smallest of equals), its sharpness, that accuracy.
    """
    names = np.unique(speakers)
    parts = [np.isin(speakers, names[k::INNER]) for k in range(min(INNER, len(names)))]
    best: tuple[float, float, float] | None = None
    for c in sorted(grid):
        decisions = np.empty((len(feats), n_labels))
        for held in parts:
            decisions[held] = fit(feats[~held], targets[~held], n_labels, c).decision(feats[held])
        accuracy = float(np.mean(decisions.argmax(axis=1) == targets))
        if best is None or accuracy > best[2]:
            best = c, sharpness(decisions, targets), accuracy
    assert best is not None
    return best


def train(examples: Examples, folds: Mapping[str, str], grid: Sequence[float]) -> SVMJudge:
    """A machine a fold, trained on the speakers of the other folds, and one of all speakers.

    Args:
        examples: what to train on; copies of one speaker's speech are on the speaker's side of every division.
        folds: speaker -> fold; every speaker of the examples is in it.
        grid: regularisations to choose from.

    Returns:
        The judge; ``about["chosen"]`` says fold -> c and the accuracy by which it was chosen.

    Raises:
        UserError: unusable folds, fewer than two emotions, or training speakers who lack one of them.
    """
    _check(examples, folds, grid)
    labels = sorted(set(examples.emotions.tolist()))
    targets = np.searchsorted(labels, examples.emotions)
    side = np.array([folds[speaker] for speaker in examples.speakers.tolist()])
    machines, chosen = {}, {}
    for fold in [*sorted(set(side.tolist())), ALL]:
        mask = side != fold
        some = examples.some(mask)
        _check_speakers(some, labels, fold)
        c, sharp, accuracy = choose(some.feats, targets[mask], some.speakers, len(labels), grid)
        found = fit(some.feats, targets[mask], len(labels), c)
        machines[fold] = Machine(found.mean, found.scale, found.coef, found.intercept, sharp)
        chosen[fold] = {"c": c, "inner_accuracy": round(accuracy, 6)}
    known = set(examples.speakers.tolist())
    mine = {speaker: fold for speaker, fold in sorted(folds.items()) if speaker in known}
    return SVMJudge(labels, mine, machines, about={"chosen": chosen})


def _check(examples: Examples, folds: Mapping[str, str], grid: Sequence[float]) -> None:
    if not grid or not all(np.isfinite(c) and c > 0 for c in grid):
        raise UserError(f"--c: expected numbers above 0, found {' '.join(map(str, grid)) or 'none'}")
    speakers = sorted(set(examples.speakers.tolist()))
    lost = [speaker for speaker in speakers if speaker not in folds]
    if lost:
        raise UserError(f"--spk2fold: {len(lost)} speakers of the data have no fold, '{lost[0]}' is one; add them")
    used = {folds[speaker] for speaker in speakers}
    if len(used) < 2 or ALL in used:
        raise UserError(f"--spk2fold: expected two folds or more, none called '{ALL}', found: {' '.join(sorted(used))}")
    emotions = sorted(set(examples.emotions.tolist()))
    if len(emotions) < 2:
        raise UserError(f"expected speech in two emotions or more, found: {' '.join(emotions)}")


def _check_speakers(some: Examples, labels: Sequence[str], fold: str) -> None:
    """Each inner division must leave every emotion to train on."""
    names = np.unique(some.speakers)
    if len(names) < 2:
        raise UserError(f"--spk2fold: without fold '{fold}' there are {len(names)} speakers; expected two or more")
    for k in range(min(INNER, len(names))):
        there = set(some.emotions[~np.isin(some.speakers, names[k::INNER])].tolist())
        lost = [label for label in labels if label not in there]
        if lost:
            raise UserError(
                f"too few speakers have '{lost[0]}' to train without fold '{fold}' and to choose --c by speakers that "
                "are held out in turn; leave this emotion out with --emotions, or use fewer folds"
            )


def measure(judge: SVMJudge, examples: Examples) -> dict[str, Any]:
    """Accuracy on speakers that the judging machine has not heard, as judge_accuracy.measure gives it."""
    return judge_accuracy.measure(examples.known, predictions(judge, examples), judge.labels)


def predictions(judge: SVMJudge, examples: Examples) -> np.ndarray:
    """[N] words: the emotion with the highest score, by the machine that has not heard the speaker."""
    heard = np.empty(len(examples), dtype=np.array(judge.labels).dtype)
    for speaker in np.unique(examples.speakers):
        mask = examples.speakers == speaker
        heard[mask] = np.array(judge.labels)[judge.machine(str(speaker)).decision(examples.feats[mask]).argmax(axis=1)]
    return heard
