"""What became of conversions by systems that may fail: how each ended, what it heard, how many did not come through."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evc2.fileio.atomic import atomic_path, write_json, write_text
from evc2.text.errors import error_rate


def warn_of_failure(made: Mapping[str, Any]) -> None:
    """Say in the log if a conversion was cut off, and where; ``made`` is what the system gave."""
    if made.get("whole", True):
        return
    reasons = []
    if made.get("heard_whole") is False:
        reasons.append("the search for the words of the recording was cut off")
    if made.get("ending") == "limit":
        reasons.append(f"the speech did not end by itself and was cut off after {len(made['feats'])} frames")
    where = " and ".join(reasons) or "the speech ended before the last of its phones"
    logging.warning("%s: words may be missing or wrong", where)


def note_attempt(
    out: Path, name: str, made: Mapping[str, Any] | None, known: str | None = None, plot: bool = False
) -> None:
    """Leave OUT/attempts/<name>.json of a conversion, and with ``plot`` pictures of its attention.

    Its ``whole`` means that the conversion was not cut off, neither as it was spoken nor in the search for its words.

    Args:
        out: the folder of the conversions.
        name: of this one.
        made: what the system gave; without ``ending`` there is nothing to note.
        known: the phones of the source, where they are known, with blanks between them.
        plot: whether to draw.
    """
    if not made or "ending" not in made:
        return
    row = {"ending": made["ending"], "whole": bool(made["whole"]), "phones": " ".join(made["phones"])}
    if known:
        row["phone_errors"] = round(error_rate(known.split(), made["phones"]), 4)
    row["frames"] = len(made["feats"])
    write_json(out / "attempts" / f"{name}.json", row)
    if plot:
        draw_attention(out / "plots" / f"{name}_attention.png", made)


def report_attempts(out: str | Path, names: Iterable[str]) -> None:
    """Join what :func:`note_attempt` left to OUT/attempts.tsv and OUT/attempts.json, and say how many failed."""
    rows = {}
    for name in names:
        path = Path(out) / "attempts" / f"{name}.json"
        if path.is_file():
            rows[name] = json.loads(path.read_text(encoding="utf-8"))
    if not rows:
        return
    failed = sorted(name for name, row in rows.items() if not row["whole"])
    endings = [row["ending"] for row in rows.values()]
    errors = [row["phone_errors"] for row in rows.values() if "phone_errors" in row]
    summary = {"attempts": len(rows), "failures": len(failed), "failed": failed}
    summary |= {f"ended by {ending}": endings.count(ending) for ending in sorted(set(endings))}
    if errors:
        summary["phone_error_rate"] = round(float(np.mean(errors)), 4)
    write_json(Path(out) / "attempts.json", summary)
    columns = ("ending", "whole", "frames", "phone_errors", "phones")
    lines = ["\t".join(("trial", *columns))]
    lines += ["\t".join((name, *(str(row.get(key, "")) for key in columns))) for name, row in rows.items()]
    write_text(Path(out) / "attempts.tsv", "\n".join(lines) + "\n")
    said = f", phones heard wrong {100 * summary['phone_error_rate']:.1f} %" if errors else ""
    logging.info(
        "%s: %d of %d conversions were cut off%s (%s)",
        out, len(failed), len(rows), said, Path(out) / "attempts.tsv",
    )  # fmt: skip


def draw_attention(path: Path, made: Mapping[str, Any]) -> None:
    """Write a picture of the attention of a conversion: of the decoder, and of the recogniser where there was one."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [("decoder", np.asarray(made["attention"]).T, "step of the decoder")]
    if "heard_attention" in made:
        shown.append(("recogniser", np.asarray(made["heard_attention"]), "place of the recording"))
    figure = Figure(figsize=(6 * len(shown), 4.2), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    for axis, (title, image, along) in zip(figure.subplots(1, len(shown), squeeze=False).flat, shown, strict=True):
        axis.imshow(image, origin="lower", aspect="auto", vmin=0, vmax=1, cmap="magma", interpolation="nearest")
        axis.set_title(title, loc="left")
        axis.set_xlabel(along)
        names = [*made["phones"], "end"][: len(image)]  # the recogniser looks for the end too
        axis.set_yticks(range(len(names)), names, fontsize=7)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
