"""What is wrong with a user's files: a clear message, the rest scored, and an exit status that says so."""

import csv
import json
import shutil
import signal

import numpy as np
import pytest
import soxr

from evc2.bin.evaluate import main
from evc2.cli import run
from evc2.fileio.audio import read_audio, write_audio

METRICS = ("mcd", "ddur", "rate", "distance_to_source")
ALL_GOOD, USER_ERROR, INCOMPLETE = 0, 1, 3


class Case:
    """A copy of the corpus, to be spoilt and then evaluated by the command.

    Attributes:
        trials: id -> the other words of its line.
        good: trial -> wav of the system under test.
    """

    def __init__(self, folder, capsys):
        self.folder = folder
        self.capsys = capsys
        lines = [line.split() for line in (folder / "trials").read_text().splitlines()]
        self.trials = {line[0]: line[1:] for line in lines}
        self.good = dict(line.split() for line in (folder / "good.scp").read_text().splitlines())
        self.first = min(self.trials)

    def spoil(self, name, wav, rate=16000):
        """Let the system's wav of the first trial be this one."""
        path = self.folder / name
        if isinstance(wav, str):
            path.write_text(wav)
        elif wav is not None:
            write_audio(path, wav, rate)
        self.good[self.first] = str(path)

    def evaluate(self):
        """Exit status, and what was printed on stderr."""
        trials = "".join(f"{' '.join([key, *words])}\n" for key, words in self.trials.items())
        (self.folder / "trials").write_text(trials)
        (self.folder / "good.scp").write_text("".join(f"{key} {self.good[key]}\n" for key in sorted(self.good)))
        words = ["--trials", f"{self.folder}/trials", "--data_dir", f"{self.folder}/data", "--bootstrap", "200"]
        words += ["--system", f"good={self.folder}/good.scp", "--system", "zero_effort=@source"]
        words += ["--metrics", ",".join(METRICS), "--out", f"{self.folder}/out", "--report", "false"]
        status = ALL_GOOD
        try:
            run(lambda: main(words), name="evaluate")
        except SystemExit as stop:
            status = stop.code
        return status, self.capsys.readouterr().err

    def rows(self):
        """(system, trial) -> row of scores.tsv."""
        with open(self.folder / "out" / "scores.tsv", encoding="utf-8") as file:
            return {(row["system"], row["trial"]): row for row in csv.DictReader(file, delimiter="\t")}

    def problems(self):
        """(system, trial) -> problem, of the rows that have one."""
        return {key: row["problem"] for key, row in self.rows().items() if row["problem"]}

    def scored(self, metric):
        """How many rows have a value of the metric."""
        return sum(row[metric] != "n/a" for row in self.rows().values())


@pytest.fixture
def case(corpus, tmp_path, capsys):
    for name in ("trials", "good.scp"):
        shutil.copy(corpus / name, tmp_path / name)
    shutil.copytree(corpus / "data", tmp_path / "data")
    handler = signal.getsignal(signal.SIGTERM)
    yield Case(tmp_path, capsys)
    signal.signal(signal.SIGTERM, handler)  # the command sets its own


def test_nothing_is_wrong(case):
    status, _ = case.evaluate()
    assert status == ALL_GOOD and not case.problems()
    assert all(case.scored(metric) == 24 for metric in METRICS)


def test_an_extra_file_is_left_out_with_a_warning(case):
    case.good["stranger"] = case.good[case.first]
    status, printed = case.evaluate()
    assert status == ALL_GOOD and not case.problems() and len(case.rows()) == 24
    assert "good: 1 wavs belong to no trial and are left out: stranger" in printed


def test_a_trial_without_a_reference_is_no_fault(case):
    case.trials[case.first] = case.trials[case.first][:3]
    status, _ = case.evaluate()
    assert status == ALL_GOOD and not case.problems()
    assert [case.scored(metric) for metric in METRICS] == [22, 22, 24, 24]


def test_a_reference_that_is_not_there(case):
    case.trials[case.first][3] = "s9-angry-9"
    status, printed = case.evaluate()
    assert status == INCOMPLETE and "s9-angry-9" in printed
    assert set(case.problems()) == {("good", case.first), ("zero_effort", case.first)}
    assert [case.scored(metric) for metric in METRICS] == [22, 22, 24, 24]  # what needs no reference is scored
    scores = json.loads((case.folder / "out" / "scores.json").read_text())
    assert len(scores["problems"]) == 2 and "s9-angry-9" in scores["problems"][0]["problem"]


@pytest.mark.parametrize(
    ("name", "wav", "message"),
    [
        ("silent.wav", np.zeros(16000, np.float32), "silent"),
        ("text.wav", "this is no sound", "cannot be read as audio"),
        ("empty.wav", np.zeros(0, np.float32), "empty"),
        ("short.wav", 0.1 * np.ones(500, np.float32), "shorter than 0.1 s"),
        ("gone.wav", None, "expected an audio file, found nothing"),
    ],
)
def test_an_output_that_cannot_be_scored(case, name, wav, message):
    case.spoil(name, wav)
    status, printed = case.evaluate()
    assert status == INCOMPLETE
    problems = case.problems()
    assert set(problems) == {("good", case.first)}
    assert name in problems["good", case.first] and message in problems["good", case.first]
    assert name in printed and name in (case.folder / "out" / "RESULTS.md").read_text()
    assert all(case.scored(metric) == 23 for metric in METRICS)


def test_an_output_that_is_not_there_at_all(case):
    del case.good[case.first]
    status, _ = case.evaluate()
    assert status == INCOMPLETE and case.problems() == {("good", case.first): "no wav for this trial"}


@pytest.mark.parametrize(("rate", "noted"), [(48000, False), (22050, False), (8000, True)])
def test_another_rate_is_scored_and_a_lower_one_noted(case, rate, noted):
    case.evaluate()
    before = case.rows()["good", case.first]
    wav, _ = read_audio(case.good[case.first])
    case.spoil("other.wav", soxr.resample(wav, 16000, rate), rate)
    status, printed = case.evaluate()
    after = case.rows()["good", case.first]
    assert status == ALL_GOOD and not case.problems()
    assert ("sampled at 8000 Hz" in printed) == noted
    assert float(after["ddur"]) == pytest.approx(float(before["ddur"]), abs=0.011)
    assert noted or float(after["mcd"]) == pytest.approx(float(before["mcd"]), abs=0.7)


def test_a_source_that_cannot_be_read(case):
    table = case.folder / "data" / "wav.scp"
    source = case.trials[case.first][0]
    others = [line for line in table.read_text().splitlines() if line.split()[0] != source]
    table.write_text("\n".join(sorted([*others, f"{source} {case.folder}/no.wav"])) + "\n")
    status, _ = case.evaluate()
    assert status == INCOMPLETE
    problems = case.problems()
    assert all("no.wav" in text for text in problems.values()) and ("zero_effort", case.first) in problems
    assert case.rows()["good", case.first]["mcd"] != "n/a"


def test_an_empty_list_of_trials(case):
    case.trials = {}
    status, printed = case.evaluate()
    assert status == USER_ERROR and printed.count("\n") == 1
    assert printed.startswith("evaluate: error: ") and "empty" in printed
    assert not (case.folder / "out" / "scores.tsv").exists()


def test_outputs_of_other_trials_altogether(case):
    case.good = {f"x-{key}": path for key, path in case.good.items()}
    status, printed = case.evaluate()
    assert status == USER_ERROR and "belongs to a trial" in printed and f"x-{case.first}" in printed
