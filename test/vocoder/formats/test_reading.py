import pytest
import torch

from evc2.errors import UserError
from evc2.nets.weights import read_checkpoint
from evc2.vocoder import build_vocoder
from evc2.vocoder.formats import load_vocoder


class Evil:
    """Its unpickling writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_code_is_refused_and_not_run(zipped, tmp_path):
    victim = tmp_path / "written"
    torch.save({"generator": Evil(victim)}, tmp_path / "g_1", _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match=r"g_1: this checkpoint holds pickled code.*not run.*state_dict"):
        build_vocoder(str(tmp_path / "g_1"))
    assert not victim.exists()


def test_whole_modules_are_refused_with_their_class(tmp_path):
    torch.save(torch.nn.Conv1d(1, 1, 1), tmp_path / "model.pt")
    with pytest.raises(UserError, match=r"pickled code \(torch\.nn\.modules\.conv\.Conv1d\)"):
        read_checkpoint(tmp_path / "model.pt")


def test_damaged_files(tmp_path):
    torch.save({"generator": {"conv_pre.bias": torch.zeros(9)}}, tmp_path / "g")
    whole = (tmp_path / "g").read_bytes()
    for damaged in (
        whole[: len(whole) // 2],
        b"",
        b"not weights at all",
        b"# A page of text\n",
        whole[:200] + b"\0" * 60 + whole[260:],
    ):
        (tmp_path / "bad").write_bytes(damaged)
        with pytest.raises(UserError, match=r"bad: damaged, or not a file of torch\.save"):
            load_vocoder(tmp_path / "bad")


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match="cannot read the weights"):
        load_vocoder(tmp_path / "none")


def test_unknown_content_is_outlined(tmp_path):
    torch.save({"mpd": {}, "msd": {}, "steps": 3}, tmp_path / "do_1")
    with pytest.raises(UserError, match=r"not a known vocoder; found 3 entries: mpd, msd, steps; expected .*hifi-gan"):
        load_vocoder(tmp_path / "do_1")
    torch.save([1, 2], tmp_path / "list")
    with pytest.raises(UserError, match="found a list"):
        load_vocoder(tmp_path / "list")


def test_unknown_option(tmp_path):
    torch.save({"generator": {"conv_pre.bias": torch.zeros(9)}}, tmp_path / "g")
    with pytest.raises(UserError, match="'compil'.*compile"):
        load_vocoder(tmp_path / "g", compil=True)
