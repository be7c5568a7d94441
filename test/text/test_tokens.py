"""Phones as numbers."""

import numpy as np
import pytest

from evc2.errors import UserError
from evc2.text.tokens import Tokens, token_list


def test_list():
    assert token_list([["b", "sp", "a"], ["sil", "b"]]) == ["<pad>", "<unk>", "sil", "sp", "a", "b"]
    known = ["<pad>", "<unk>", "K", "spn", "sil"]
    assert token_list(iter([["x"]]), known) == [
        "<pad>",
        "<unk>",
        "sil",
        "sp",
        "K",
        "spn",
        "x",
    ]


def test_ids_and_stand_ins(caplog):
    tokens = Tokens(["<pad>", "<unk>", "sil", "sp", "AH0", "AH1", "S", "ɪ", "ˈiː", "ˌɛ", "ˈɛ"])
    known = tokens.ids(["sil", "AH1", "S", "ˈiː"])
    assert known.dtype == np.int64 and known.tolist() == [2, 5, 6, 8] and not caplog.records
    # another stress, then another length, then nothing alike
    assert tokens.ids(["AH2", "ˈɪ", "i", "ˌiː", "ɛ", "ɛː", "S2", "y", "y", "AH2"]).tolist() == [
        4,
        7,
        8,
        8,
        9,
        9,
        1,
        1,
        1,
        4,
    ]
    assert len(caplog.records) == 8, "each is told once"
    assert "'S2' is not among the tokens; '<unk>'" in caplog.text
    assert tokens.ids([]).shape == (0,) and len(tokens) == 11


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["a", "b"], "begins with <pad>, <unk>"),
        (["<pad>", "<unk>", "a", "b", "a"], "'a' is there twice, as number 2 and 4"),
        (["<pad>", "<unk>", False], "found False as number 2"),
        (["<pad>", "<unk>", ""], "found '' as number 2"),
    ],
)
def test_wrong_lists(tokens, message):
    with pytest.raises(UserError, match=message):
        Tokens(tokens)
