from pathlib import Path

import numpy as np
import pytest

from evc2.convert.jobs import checked_trials, merge, run_jobs, utterance
from evc2.errors import UserError
from evc2.fileio.datadir import DataDir, Trial, read_table, write_table, write_trials

IDS = ["a", "b", "c", "d", "e"]


def work(name):
    return np.full(160, 0.1, np.float32), 16000


def test_all_at_once(tmp_path):
    run_jobs(IDS, work, tmp_path, njobs=2)
    table = read_table(tmp_path / "wav.scp", check_sorted=True)
    assert list(table) == IDS and all(Path(p).is_file() for p in table.values())
    assert list(tmp_path.glob("wav.*.scp")) == []


def test_jobs_share_the_work_and_merge_waits_for_all(tmp_path):
    done = []
    for job in (1, 3):
        run_jobs(IDS, lambda name: done.append(name) or work(name), tmp_path, job, 3)
    with pytest.raises(UserError, match="job 2 of 3 has left no list"):
        merge(IDS, tmp_path, 3)
    run_jobs(IDS, lambda name: done.append(name) or work(name), tmp_path, 2, 3)
    assert sorted(done) == IDS
    merge(IDS, tmp_path, 3)
    assert list(read_table(tmp_path / "wav.scp")) == IDS


def test_merge_finds_what_is_missing_or_old(tmp_path):
    run_jobs(IDS, work, tmp_path, 1, 1)
    with pytest.raises(UserError, match="are missing: f"):
        merge([*IDS, "f"], tmp_path, 1)
    with pytest.raises(UserError, match="not asked for.*: e"):
        merge(IDS[:4], tmp_path, 1)
    (tmp_path / "wav" / "c.wav").unlink()
    with pytest.raises(UserError, match="have no file: c"):
        merge(IDS, tmp_path, 1)
    assert not (tmp_path / "wav.scp").exists()


def test_a_failed_job_leaves_no_list_and_names_the_id(tmp_path):
    run_jobs(IDS, work, tmp_path, 1, 1)

    def fails(name):
        if name == "c":
            raise UserError("too short")
        return work(name)

    with pytest.raises(UserError, match="c: too short"):
        run_jobs(IDS, fails, tmp_path, 1, 1)
    assert not (tmp_path / "wav.1.scp").exists()


def test_nothing_for_an_id(tmp_path):
    run_jobs(IDS, lambda name: None if name == "b" else work(name), tmp_path, 1, 1)
    with pytest.raises(UserError, match="missing: b"):
        merge(IDS, tmp_path, 1)
    merge(IDS, tmp_path, 1, may_lack=["b"])
    assert list(read_table(tmp_path / "wav.scp")) == ["a", "c", "d", "e"]


@pytest.mark.parametrize(("job", "njobs"), [(0, 2), (3, 2), (None, 0)])
def test_job_numbers(tmp_path, job, njobs):
    with pytest.raises(UserError, match="expected a job from 1"):
        run_jobs(IDS, work, tmp_path, job, njobs)


@pytest.mark.parametrize("name", ["../x", "a/b", "..", ".x"])
def test_ids_that_would_leave_the_folder(tmp_path, name):
    with pytest.raises(UserError, match="cannot be the name of a file"):
        run_jobs([name], work, tmp_path)


def test_trials_of_unknown_utterances(tiny_data):
    data = DataDir(tiny_data)
    assert len(checked_trials(tiny_data / "trials", data)) == 4
    write_trials(tiny_data / "other", [Trial("t", "s1-neutral", "s1", "angry", "s1-sad")])
    with pytest.raises(UserError, match="trial 't': utterance 's1-sad' is not in"):
        checked_trials(tiny_data / "other", data)


def test_segments_cut_the_recording(tiny_data):
    wav, rate = utterance(DataDir(tiny_data), "s1-neutral")
    assert len(wav) == 9600
    path = DataDir(tiny_data).table("wav.scp")["s1-neutral"]
    write_table(tiny_data / "wav.scp", {"rec": path})
    write_table(tiny_data / "segments", {"s1-neutral": "rec 0.1 0.35"})
    cut, _ = utterance(DataDir(tiny_data), "s1-neutral")
    assert np.array_equal(cut, wav[1600:5600])
