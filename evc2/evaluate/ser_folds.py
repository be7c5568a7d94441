"""From the trainings of all folds and seeds to one judge with its own accuracy."""

from __future__ import annotations

import json
import logging
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from evc2.errors import UserError
from evc2.evaluate.judge_accuracy import Utterances, accuracy_table, confusion_tables, measure
from evc2.evaluate.judge_neural import NeuralJudge, build_network
from evc2.evaluate.svm_data import read_folds
from evc2.feats.contract import FeatureContract
from evc2.fileio.ark import ScpReader
from evc2.fileio.datadir import DataDir

_FOLDER = re.compile(r"fold(?P<fold>[^.]+)\.seed(?P<seed>\d+)")
NET_KEYS = ("channels", "hidden", "dropout")
"""Keys of a training's model_conf that the network itself takes."""


def assemble(exp: Path, model_file: str, spk2fold: str | os.PathLike[str]) -> tuple[NeuralJudge, dict[str, Any]]:
    """The judge of all trainings in a folder, not yet measured; and training -> what it says of itself.

    Raises:
        UserError: no trainings, a fold without one, numbers of seeds that differ, or configurations that differ.
    """
    import torch
    import yaml

    folds = read_folds(spk2fold)
    found = sorted((path, match) for path in exp.glob("fold*.seed*") if (match := _FOLDER.fullmatch(path.name)))
    if not found:
        raise UserError(f"--exp: expected folders fold<F>.seed<S> in {exp}, found none")
    members: dict[str, list[Any]] = {}
    trainings: dict[str, Any] = {}
    common: tuple[Any, ...] | None = None
    for path, match in found:
        try:
            config = yaml.safe_load((path / "config.yaml").read_text(encoding="utf-8"))
            weights = torch.load(path / model_file, map_location="cpu", weights_only=True)
            said = (config["labels"], config["feats_contract"], config.get("model_conf") or {})
        except (OSError, RuntimeError, KeyError, TypeError, yaml.YAMLError) as error:
            raise UserError(
                f"{path}: expected config.yaml and {model_file} of a training of ser_train: {error}"
            ) from None
        if common is not None and said != common:
            raise UserError(
                f"{path}: labels, features or model_conf differ from those of {found[0][0]}; train all alike"
            )
        common = said
        conf = {key: value for key, value in said[2].items() if key in NET_KEYS}
        contract = FeatureContract.from_dict(said[1])
        weights = {name.removeprefix("net."): value for name, value in weights.items() if name.startswith("net.")}
        try:
            net = build_network(weights, contract.n_mels, len(said[0]), conf)
        except ValueError as error:
            raise UserError(f"{path / model_file}: {error}") from None
        members.setdefault(match["fold"], []).append(net)
        summary = path / "train_summary.json"
        trainings[path.name] = json.loads(summary.read_text(encoding="utf-8")) if summary.exists() else {}
    lost = sorted(set(folds.values()) - members.keys())
    counts = {len(nets) for nets in members.values()}
    if lost or len(counts) > 1:
        raise UserError(
            f"{exp}: expected trainings of the same number of seeds for each fold of {spk2fold}, "
            f"found {', '.join(f'fold {fold}: {len(nets)}' for fold, nets in members.items())}"
            + (f", none of fold {lost[0]}" if lost else "")
        )
    return NeuralJudge(list(said[0]), folds, contract, conf, members), trainings


def measure_judge(judge: NeuralJudge, data_dir: str | os.PathLike[str]) -> dict[str, Any]:
    """Accuracy on features of a data directory, each speaker by the networks that have not heard him.

    Returns:
        "judge": of the networks' mean posterior; "single": of one network, the mean over the seeds; "by_fold": fold ->
        seed -> share of natural utterances recognised. The first two as ``judge_accuracy.measure`` gives them.

    Raises:
        UserError: features of another contract, or speakers without a fold.
    """
    data = DataDir(data_dir)
    judge.contract.require_same(FeatureContract.load(data.path / "feats.yaml"), mine="judge", theirs=str(data.path))
    speaker, emotion = data.table("utt2spk"), data.table("utt2emo")
    vocoder = data.table("utt2vocoder") if data.has("utt2vocoder") else {}
    intensity = data.table("utt2intensity") if data.has("utt2intensity") else None
    reader = ScpReader(data.path / "feats.scp")
    utts = sorted(reader)
    lost = sorted({speaker[utt] for utt in utts} - judge.folds.keys())
    if lost:
        raise UserError(
            f"{data.path}: speaker '{lost[0]}' has no fold: the judge's accuracy must be on unseen speakers"
        )
    posteriors = []
    for count, utt in enumerate(utts, 1):
        posteriors.append(judge.scores(reader[utt], judge.networks(speaker[utt]))[0])
        if count % 500 == 0:
            logging.info("%d of %d utterances", count, len(utts))
    table = np.stack(posteriors, axis=1)  # [seeds, N, labels]
    labels = np.array(judge.labels)
    known = Utterances(
        np.array([emotion[utt] for utt in utts]),
        np.array([speaker[utt] for utt in utts]),
        np.array([vocoder.get(utt, "natural") for utt in utts]),
        None if intensity is None else np.array([intensity.get(utt) == "strong" for utt in utts]),
    )
    single = labels[table.argmax(axis=2)]
    fold = np.array([judge.folds[name] for name in known.speakers])
    natural = known.vocoders == "natural"
    by_fold = {
        name: [float((row == known.emotions)[natural & (fold == name)].mean()) for row in single]
        for name in judge.members
    }
    return {
        "judge": measure(known, labels[table.mean(axis=0).argmax(axis=1)], judge.labels),
        "single": measure(known, single, judge.labels),
        "by_fold": by_fold,
    }


def markdown(judge: NeuralJudge) -> str:
    """RESULTS.md: accuracies with intervals, every training, and confusion matrices."""
    about = judge.about
    seeds = len(next(iter(judge.members.values())))
    facts = {name: about[name] for name in ("data", "commit", "hardware", "date")} | {
        "command": f"`{about['command']}`"
    }
    folds = "\n".join(
        f"- fold {fold} ({', '.join(s for s, f in judge.folds.items() if f == fold)}): "
        + ", ".join(f"{100 * share:.1f}" for share in shares)
        for fold, shares in about["by_fold"].items()
    )
    minutes = [run["minutes"] for run in about["trainings"].values() if "minutes" in run]
    steps = sorted({run["steps"] for run in about["trainings"].values() if "steps" in run})
    return (
        "\n\n".join(
            [
                "# Emotion judge (log-mel network): its own accuracy",
                "\n".join(f"- {name}: {text}" for name, text in facts.items())
                + f"\n- training: {len(about['trainings'])} networks, {' or '.join(map(str, steps))} steps each, "
                f"{sum(minutes):.0f} minutes together",
                f"One network, mean over {seeds} seeds of the accuracy of each, % [95 % interval over speakers]:",
                accuracy_table(about["single"]),
                f"The judge that `evc2 evaluate` uses, the mean posterior of the {seeds} networks:",
                accuracy_table(judge.accuracy),
                "Natural speech by fold, % for each seed (the fold's speakers are in no training of its networks):",
                folds,
                *confusion_tables(judge.accuracy, judge.labels),
            ]
        )
        + "\n"
    )
