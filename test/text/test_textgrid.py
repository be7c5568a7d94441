"""TextGrid files in the long and the short format."""

import pytest

from evc2.errors import UserError
from evc2.text.textgrid import read_textgrid

LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 1.5
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 1.5
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 1.5
            text = "say ""7"" now"
    item [2]:
        class = "TextTier"
        name = "clicks"
        xmin = 0
        xmax = 1.5
        points: size = 2
        points [1]:
            number = 0.1
            mark = "a"
        points [2]:
            number = 0.2
            mark = "b"
    item [3]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 1.5
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.25
            text = ""
        intervals [2]:
            xmin = 0.25
            xmax = 1
            text = " AE1 "
        intervals [3]:
            xmin = 1
            xmax = 1.5
            text = "t"
"""
SHORT = """File type = "ooTextFile"
"TextGrid"

0
1.5
<exists>
1
"IntervalTier"
"phones"
0
1.5
3
0
0.25
""
0.25
1
"AE1"
1
1.5
"t"
"""
PHONES = [(0.0, 0.25, ""), (0.25, 1.0, "AE1"), (1.0, 1.5, "t")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_long_format(tmp_path, encoding):
    path = tmp_path / "u.TextGrid"
    path.write_text(LONG, encoding=encoding)
    tiers = read_textgrid(path)
    assert list(tiers) == ["words", "phones"]
    assert tiers["words"] == [(0.0, 1.5, 'say "7" now')]
    assert tiers["phones"] == PHONES


def test_short_format_is_the_same(tmp_path):
    path = tmp_path / "u.TextGrid"
    path.write_text(SHORT)
    assert read_textgrid(path) == {"phones": PHONES}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello", "expected a TextGrid"),
        (SHORT[:-12], "truncated"),
        (SHORT.replace("IntervalTier", "PitchTier"), "a tier of kind 'PitchTier'"),
        (SHORT.replace("\n1\n1.5\n", "\n0.5\n1.5\n"), "the interval at 0.5 s"),
    ],
)
def test_bad_files(tmp_path, text, message):
    path = tmp_path / "u.TextGrid"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_textgrid(path)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_textgrid(tmp_path / "none.TextGrid")
