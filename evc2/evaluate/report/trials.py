"""The chosen trials: a card with player and picture for every wav, and the scores."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import numpy as np

from evc2.errors import UserError
from evc2.evaluate.directions import changes_speaker, direction_name
from evc2.evaluate.report.card import NATURAL, Sound, card
from evc2.evaluate.report.figures import Figures, direction_title, is_anchor
from evc2.evaluate.report.markup import Html, table_box, tag
from evc2.evaluate.report.picture import spectrogram
from evc2.evaluate.report.sound import flac
from evc2.evaluate.report.tables import metric_head, system_cell
from evc2.evaluate.score import Clip, Wavs
from evc2.fileio.audio import read_audio


def read_sounds(clips: Mapping[str, Clip | None], order: Iterable[str], wavs: Wavs) -> list[Sound]:
    """The wavs of one trial in the given order; equal ones become one entry, unreadable ones say why."""
    found: dict[str, Sound] = {}
    for name in order:
        clip = clips.get(name)
        if clip is None:
            found[f"missing {name}"] = Sound([name], problem="no wav for this trial")
            continue
        try:
            wav, rate = read_audio(clip.entry, start=clip.start, stop=clip.stop)
            analysis, _ = wavs.get(clip)
        except (UserError, OSError) as error:
            found[f"missing {name}"] = Sound([name], problem=" ".join(str(error).split()))
            continue
        key = hashlib.sha256(wav.tobytes() + str(rate).encode()).hexdigest()
        if key in found:
            found[key].names.append(name)
        else:
            found[key] = Sound([name], flac(wav, rate), len(wav) / rate, analysis, spectrogram(analysis.wav))
    return list(found.values())


def trial_block(
    trial: str,
    rows: Mapping[str, Mapping[str, str]],
    clips: Mapping[str, Clip | None],
    figures: Figures,
    wavs: Wavs,
    first: bool = False,
) -> Html:
    """All of one trial in a box that opens and closes.

    Args:
        trial: its id.
        rows: system -> its row of scores.tsv.
        clips: "source", "target" or system -> its wav.
        figures: for the metrics.
        wavs: reads and analyses.
        first: whether the box is open at the start.
    """
    systems = [name for name in figures.systems if name in clips or name in rows]
    order = [name for name in NATURAL if clips.get(name) is not None] + systems
    sounds = read_sounds(clips, order, wavs)
    longest = max((sound.seconds for sound in sounds), default=0.0)
    cards = [card(sound, trial, longest) for sound in sounds]
    about = next(iter(rows.values()), {})
    place = _place(about) if about else ""
    head = tag("summary", tag("span", trial, class_="name"), " ", tag("span", place, class_="range"))
    return tag(
        "details", head, tag("div", cards, class_="cards"), _scores(trial, systems, rows, figures), class_="trial",
        open=first,
    )  # fmt: skip


def _place(row: Mapping[str, str]) -> str:
    """What a trial changes, and what stays."""
    speaker, emotion = row.get("speaker", ""), row.get("emotion", "")
    of, source = (
        None if row.get(key) in (None, "", "n/a") else row[key] for key in ("source_speaker", "source_emotion")
    )
    if not changes_speaker(of, speaker):
        return f"{direction_title(direction_name(source, emotion))}, {speaker}"
    kept = emotion if source in (None, emotion) else direction_title(direction_name(source, emotion))
    return f"{direction_title(f'{of} to {speaker}')}, {kept}"


def _scores(trial: str, systems: list[str], rows: Mapping[str, Mapping[str, str]], figures: Figures) -> Html | None:
    metrics = [name for name in figures.metrics if any(name in row for row in rows.values())]
    if not metrics:
        return None
    head = [tag("th", tag("span", "system"), scope="col", data_sort="ascending")]
    head += [metric_head(figures, metric) for metric in metrics]
    body = []
    for system in systems:
        row = rows.get(system, {})
        cells = [_score(figures, metric, row.get(metric)) for metric in metrics]
        body.append(tag("tr", system_cell(system), cells, class_="anchor" if is_anchor(system) else None))
        if row.get("problem"):
            note = tag("td", tag("span", f"{system}: {row['problem']}", class_="problem"), colspan=len(metrics) + 1)
            body.append(tag("tr", note, class_="note"))
    name = f"Scores of {trial}"
    return table_box(
        name, tag("caption", name, class_="hidden"), tag("thead", tag("tr", head)), tag("tbody", body), class_="scores"
    )


def _score(figures: Figures, metric: str, text: str | None) -> Html:
    try:
        value = float(text) if text else None
    except ValueError:  # "n/a": not defined for this trial
        value = None
    if value is None or not np.isfinite(value):
        return tag("td", "\N{EN DASH}")
    return tag("td", figures.text(metric, value), data_value=repr(value))
