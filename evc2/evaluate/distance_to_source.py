"""How far an output is from its source: an identity has a distance of 0, whatever its other scores."""

from __future__ import annotations

from evc2.evaluate.item import Item, frame_pairs
from evc2.evaluate.mcd import SOURCE, mcd_aligned
from evc2.evaluate.registry import register
from evc2.feats.distance import dtw_path


@register(
    "distance_to_source",
    unit="dB",
    better=None,
    needs=("wav", "source"),
    digits=2,
    doc="mel-cepstral distortion between output and source, frame by frame where both are equally long, else along "
    "their DTW path; near 0 the output is the source again, and its other scores are those of no conversion",
    source=SOURCE,
    range="0 ..",
)
def _distance_to_source(item: Item) -> float:
    x, y = item.converted, item.source
    pairs = frame_pairs(x, y)
    if pairs is not None:
        return mcd_aligned(x.mcep[pairs[0]], y.mcep[pairs[1]])
    a, b = x.mcep[x.speech], y.mcep[y.speech]
    i, j = dtw_path(a, b)
    return mcd_aligned(a[i], b[j])
