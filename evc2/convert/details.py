"""What else there is of a conversion of mel spectrograms: the source through the vocoder, pictures, SSIM."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evc2.convert.evc import EVC
from evc2.errors import UserError
from evc2.evaluate.ssim import ssim
from evc2.fileio.atomic import atomic_path, write_text
from evc2.fileio.audio import write_audio
from evc2.train.abs_model import AbsEVCModel

MEASURES = ("ssim_reconstruction", "ssim_cycle", "mel_l1_reconstruction")


def check_details(model: AbsEVCModel) -> None:
    """UserError for a system that does not take mel spectrograms as images, so that it has no :class:`Details`."""
    if model.contract.kind != "mel":
        raise UserError("--details: only systems on mel spectrograms have these; leave it out")
    if type(model).unit_images is AbsEVCModel.unit_images:
        raise UserError(
            f"--details: {type(model).__name__} does not convert mel spectrograms as images, so there are none to "
            f"compare; leave it out (--plot true draws source and conversion)"
        )


class Details:
    """Collects them in a folder O: conversions lie in O/gen, and this adds the same names in O/ref (the source by
    analysis and synthesis: what the vocoder alone costs) and O/plots, and O/details.tsv.

    Args:
        out: the folder O.
    """

    def __init__(self, out: Path):
        self.out, self.gen, self.rows = out, out / "gen", {}
        self.gen.mkdir(parents=True, exist_ok=True)

    def add(self, evc: EVC, made: Path, info: Mapping[str, Any]) -> None:
        """Take note of a conversion.

        Args:
            evc: the system.
            made: the file in O/gen that was written.
            info: what :meth:`EVC.convert` said of it.

        """
        if info["silent"]:
            return
        name = made.relative_to(self.gen)
        source = info["given"]["feats"]
        panels = {"source": source, **evc.model.panels(info["given"], info["target"])}
        images = {key: evc.model.unit_images(feats) for key, feats in panels.items()}
        write_audio(self.out / "ref" / name, evc.heard(source, len(info["source"]))[0], info["rate"])
        draw(self.out / "plots" / name.with_suffix(".png"), images, 1000 / info["frame_period"])
        row = dict.fromkeys(MEASURES)
        if "reconstruction" in images:
            row["ssim_reconstruction"] = ssim(images["source"], images["reconstruction"])
            row["ssim_cycle"] = ssim(images["source"], images["cyclic"])
            row["mel_l1_reconstruction"] = float(np.abs(source - panels["reconstruction"]).mean())
        self.rows[str(name)] = row

    def finish(self) -> str:
        """Write O/details.tsv and return the averages in words."""
        lines = ["\t".join(("name", *MEASURES))]
        for name, row in sorted(self.rows.items()):
            lines.append("\t".join((name, *("" if v is None else f"{v:.4f}" for v in row.values()))))
        write_text(self.out / "details.tsv", "\n".join(lines) + "\n")
        known = [row for row in self.rows.values() if row[MEASURES[0]] is not None]
        if not known:
            return "no SSIM: the source's own speaker is not known to the model (--speaker S)"
        means = (f"{name} {np.mean([row[name] for row in known]):.3f}" for name in MEASURES)
        return f"mean of {len(known)}: {', '.join(means)}"


def draw(path: Path, images: Mapping[str, np.ndarray], frames_per_second: float) -> None:
    """Write a picture of images [n_mels, T] of values from 0 to 1, two in a row."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = -(-len(images) // 2)
    figure = Figure(figsize=(11, 2.7 * lines), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(lines, 2, squeeze=False, sharex=True, sharey=True)
    for axis, (title, image) in zip(axes.flat, images.items(), strict=False):
        seconds = image.shape[1] / frames_per_second
        axis.imshow(image, origin="lower", aspect="auto", vmin=0, vmax=1, cmap="magma",
                    extent=(0, seconds, 0, len(image)), interpolation="nearest")  # fmt: skip
        axis.set_title(title, loc="left", fontsize=11)
    for axis in axes[-1]:
        axis.set_xlabel("Time (s)")
    for axis in axes[:, 0]:
        axis.set_ylabel("Mel band")
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
