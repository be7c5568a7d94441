"""Normalisation of features by the statistics of their speaker and emotion."""

import numpy as np

from evc2.feats.stats import Stats


class Normalizer:
    """Zero mean and unit deviation a dimension, by the statistics of (speaker, emotion) or of the emotion alone.

    Args:
        stats: of the training data.
        by: ``speaker_emotion`` or ``emotion``.
    """

    def __init__(self, stats: Stats, by: str):
        self.stats, self.by = stats, by
        self.cache: dict[tuple[str | None, str], tuple[np.ndarray, np.ndarray]] = {}

    def __call__(self, feats: np.ndarray, speaker: str, emotion: str) -> np.ndarray:
        key = (None if self.by == "emotion" else speaker, emotion)
        if key not in self.cache:
            m = self.stats.get(*key)
            self.cache[key] = (m.feats_mean.astype(np.float32), (1 / m.feats_std).astype(np.float32))
        mean, scale = self.cache[key]
        return (feats - mean) * scale
