"""What training tells its user: statistics read from the device in bulk, trials scored, pictures and sound."""

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from espnet2.train.reporter import Average, SubReporter, WeightedAverage

from evc2.errors import UserError
from evc2.fileio.ark import ScpReader
from evc2.fileio.atomic import atomic_path
from evc2.fileio.datadir import DataDir, Trial, read_trials
from evc2.train.abs_model import AbsEVCModel, ConversionTarget
from evc2.vocoder import choose_vocoder

HEARD = 4
"""Directions of which sound is made by a vocoder, which takes time."""


class StatsBuffer:
    """Holds the statistics of several steps on the device, and hands them to the reporter in one transfer.

    Args:
        shared: several processes train, and report the means of their statistics, weighted by their batches. They
            exchange them here, all at once, and not after each turn, which they would wait for.
    """

    def __init__(self, reporter: SubReporter, shared: bool = False):
        self.reporter, self.shared, self.steps = reporter, shared, []

    def add(self, stats: dict[str, torch.Tensor | float], weight: torch.Tensor) -> None:
        self.steps.append((stats, weight))

    def flush(self) -> None:
        """Report what is held; UserError when a loss is no longer finite, before anything of it can be saved."""
        if not self.steps:
            return
        tensors = [v for stats, w in self.steps for v in (*stats.values(), w) if isinstance(v, torch.Tensor)]
        values = torch.stack([t.detach().float().reshape(()) for t in tensors])
        if self.shared:
            values = self.average(values)
        numbers = iter(values.tolist())
        for stats, weight in self.steps:
            values = {k: next(numbers) if isinstance(v, torch.Tensor) else v for k, v in stats.items()}
            bad = [k for k, v in values.items() if k.startswith("loss") and not math.isfinite(v)]
            if bad:
                raise UserError(
                    f"{', '.join(bad)} is not finite any more; nothing was saved since the last checkpoint. Lower the "
                    f"learning rate, set grad_clip, or train with --amp_dtype none"
                )
            self.reporter.register(values, next(numbers) if isinstance(weight, torch.Tensor) else weight)
            self.reporter.next()
        self.steps.clear()

    def average(self, values: torch.Tensor) -> torch.Tensor:
        """Of the processes' values, in the order of :meth:`flush`, the weighted means; of their weights the sums."""
        factors, is_weight = [], []
        for stats, weight in self.steps:
            count = sum(isinstance(v, torch.Tensor) for v in stats.values())
            factors += [weight.detach().float().reshape(())] * count + [torch.ones_like(weight, dtype=torch.float)]
            is_weight += [False] * count + [True]
        sums = torch.stack([values * torch.stack(factors), torch.stack(factors)])
        torch.distributed.all_reduce(sums)
        return torch.where(torch.tensor(is_weight, device=values.device), sums[0], sums[0] / sums[1])


def reporter_state(sub: SubReporter) -> dict[str, Any]:
    """The part of an epoch that was reported already, in plain types."""
    stats = {
        k: [[v.value, getattr(v, "weight", None)] for v in values] for k, values in sub.stats.items()
    }  # one pair a step; no weight: a plain average
    return {"stats": stats, "count": sub.count, "total_count": sub.total_count}


def restore_reporter(sub: SubReporter, state: dict[str, Any]) -> None:
    """Put back what reporter_state returned."""
    for key, values in state["stats"].items():
        sub.stats[key] = [Average(v) if w is None else WeightedAverage(v, w) for v, w in values]
    sub.count, sub.total_count = state["count"], state["total_count"]


class TrialSet:
    """Validation trials with their features in memory-mapped arks; scored as conversions, not as losses.

    Args:
        data_dir: feature directory of sources and references.
        trials: list of trials; those with a reference are scored, and shown; without any, some of the others are shown.
        names: features to read.
        emotions, speakers: what the model can convert from and to (speakers None: any, and they stay the same).
        limit: how many trials to score.
    """

    def __init__(
        self,
        data_dir: str,
        trials: str,
        names: Iterable[str],
        emotions: Iterable[str],
        limit: int,
        speakers: Iterable[str] | None = None,
    ):
        data, emotions = DataDir(data_dir), set(emotions)
        self.spk, self.emo = data.table("utt2spk"), data.table("utt2emo")
        self.readers = {name: ScpReader(f"{data_dir}/{name}.scp") for name in names}
        self.vocoder: Any = None
        self.phones = data.table("phones") if data.has("phones") else {}
        known = set(data.utts)
        usable = [t for t in read_trials(trials) if {t.source, t.reference or t.source} <= known]
        if self.phones:  # some utterances may have been left out of them
            usable = [t for t in usable if t.source in self.phones]
        fits = [t for t in usable if {t.emotion, self.emo[t.source]} <= emotions]
        if speakers is not None:
            fits = [t for t in fits if {t.speaker, self.spk[t.source]} <= set(speakers)]
        if usable and not fits:
            found = sorted({" to ".join(self.direction(t, speakers is not None)) for t in usable})
            raise UserError(
                f"{trials} holds conversions of {', '.join(found)}, but the model is between "
                f"{', '.join(sorted(emotions if speakers is None else speakers))}; set --system_conf domains=[A,B] to "
                f"match --directions (or the reverse)"
            )
        scored = [t for t in fits if t.reference]
        step = max(len(scored) / max(limit, 1), 1.0)  # spread over directions and speakers, which follow one another
        self.trials = [scored[int(i * step)] for i in range(min(limit, len(scored)))]
        if not self.trials:
            logging.warning("%s: no trial with a reference for this model: no conversion metric", trials)
        first: dict[tuple[str, str], Trial] = {}
        for trial in self.trials or fits:
            first.setdefault(self.direction(trial, speakers is not None), trial)
        self.shown = first

    def direction(self, trial: Trial, by_speaker: bool) -> tuple[str, str]:
        """What a trial changes, from and to."""
        if by_speaker:
            return self.spk[trial.source], trial.speaker
        return self.emo[trial.source], trial.emotion

    def features(self, utt: str) -> dict[str, Any]:
        feats = {name: reader[utt] for name, reader in self.readers.items()}
        phones = {"phones": self.phones[utt].split()} if utt in self.phones else {}
        return {**feats, **phones, "speaker": self.spk[utt], "emotion": self.emo[utt]}

    def score(self, model: AbsEVCModel, reporter: SubReporter, between: Callable[[], None]) -> None:
        """Report the mean of the model's own metrics over the trials; ``between`` is called after each."""
        for trial in self.trials:
            scores = model.score_trial(self.features(trial.source), self.features(trial.reference), trial.emotion)
            if scores:
                reporter.register(scores, 1.0)
                reporter.next()
            between()

    def vocode(self, rows: Mapping[str, Mapping[str, Any]], writer: Any, name: str, epoch: int, contract: Any) -> None:
        """Sound of mel spectrograms: what was converted, and (in the first epoch) the reference by the same vocoder."""
        if self.vocoder is None:
            self.vocoder = choose_vocoder(contract)
        heard = {"converted": "converted"} | ({"reference": "reconstructed"} if epoch == 1 else {})
        for key, title in heard.items():
            if key in rows:
                wav = self.vocoder({"feats": np.asarray(rows[key]["feats"])}, contract=contract)
                wav = wav / max(1.0, float(np.abs(wav).max()))
                writer.add_audio(f"{name}/{title}", wav, epoch, self.vocoder.contract.rate)

    def show(self, model: AbsEVCModel, writer: Any, epoch: int, folder: Path, count: int = 12) -> None:
        """Pictures and sound of the first trial of each direction: to TensorBoard, the pictures to ``folder`` too."""
        for number, ((source_name, target_name), trial) in enumerate(list(self.shown.items())[:count]):
            source = self.features(trial.source)
            name, rows = f"{source_name}_to_{target_name}", {"source": source}
            target = ConversionTarget(trial.emotion, trial.speaker if trial.speaker != source["speaker"] else None)
            if model.contract.kind == "world":
                rows["converted"] = model.convert(source, target)
            else:
                rows |= {key: {"feats": feats} for key, feats in model.panels(source, target).items()}
            if trial.reference:
                rows.pop("reconstruction", None)  # four panels are enough
                rows["reference"] = self.features(trial.reference)
            figure = draw(rows, first=1 if model.contract.kind == "world" else 0)
            with atomic_path(folder / f"{name}_{epoch}epoch.png") as temporary:
                figure.savefig(temporary, format="png")
            writer.add_figure(f"{name}/features", figure, epoch)
            for title, image in model.pictures(source, target).items():
                figure = draw({title: {"feats": image.T}})
                with atomic_path(folder / f"{name}_{title.replace(' ', '_')}_{epoch}epoch.png") as temporary:
                    figure.savefig(temporary, format="png")
                writer.add_figure(f"{name}/{title.replace(' ', '_')}", figure, epoch)
            if model.contract.kind != "world":
                if "spoken" in rows:
                    wav = model.convert(source, target)["wav"]
                    writer.add_audio(f"{name}/converted", wav, epoch, model.contract.rate)
                elif number < HEARD:
                    self.vocode(rows, writer, name, epoch, model.contract)
                continue
            for key in rows if epoch == 1 else ("converted",):  # source and reference stay the same
                writer.add_audio(f"{name}/{key}", preview(rows[key], model), epoch, model.contract.rate)


def draw(rows: Mapping[str, Mapping[str, Any]], first: int = 0) -> Any:
    """A figure of features over time, in one colour range, with F0 drawn over it: two columns where there are four or
    more, else one.

    Args:
        rows: by title, ``feats`` [T, D] and, where it is known, ``f0`` [T] in Hz.
        first: the first dimension shown.
    """
    from matplotlib.figure import Figure

    columns = 2 if len(rows) > 3 else 1
    lines = -(-len(rows) // columns)
    figure = Figure(figsize=(8 if columns == 1 else 11, 2.4 * lines), layout="constrained")
    images = [np.asarray(r["feats"])[:, first:].T for r in rows.values()]
    low, high = min(i.min() for i in images), max(i.max() for i in images)
    axes = figure.subplots(lines, columns, squeeze=False).flat
    for axis, (name, row), image in zip(axes, rows.items(), images, strict=False):
        axis.imshow(image, aspect="auto", origin="lower", vmin=low, vmax=high)
        axis.set(title=name, ylabel="dimension", xlabel="frame")
        if row.get("f0") is not None:
            twin = axis.twinx()
            twin.plot(np.where(np.asarray(row["f0"]) > 0, row["f0"], np.nan), color="white", linewidth=1.2)
            twin.set(ylabel="F0 (Hz)", ylim=(50, 600), yscale="log")
    for axis in list(axes):
        axis.axis("off")
    return figure


def preview(feats: dict[str, Any], model: AbsEVCModel) -> np.ndarray:
    """Sound of WORLD features alone (no aperiodicity is stored, so it is buzzier than a conversion)."""
    from evc2.feats.world import decode, synthesize

    sp = decode(np.asarray(feats["feats"]), model.contract)
    if feats.get("power") is not None:
        gain = np.asarray(feats["power"], dtype=np.float64) - np.log(sp.sum(1))
        sp = sp * np.exp(gain)[:, None]
    ap = np.where(np.asarray(feats["f0"])[:, None] > 0, 1e-3, 1.0) * np.ones_like(sp)
    return synthesize(np.asarray(feats["f0"], dtype=np.float64), sp, ap, model.contract)
