import pytest
from hypothesis import given
from hypothesis import strategies as st

from evc2.evaluate.normalize import normalize


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Kids are talking by the door.", "kids are talking by the door"),
        ("  Kids,  ARE\ttalking\n", "kids are talking"),
        ("Don’t say 'no', o'clock; the dogs' tails", "don't say no o'clock the dogs tails"),
        ("well-known — twenty-one", "well known twenty one"),
        ("ｆｕｌｌ width, café naïve", "full width cafe naive"),
        ("Mr. Smith, Mrs. Jones and Dr. No vs. St. John etc.",
         "mister smith missus jones and doctor no versus saint john et cetera"),
        ("At 5 p.m. in the U.S. it is OK", "at five pm in the us it is okay"),
        ("A & B: 100%, per cent", "a and b one hundred percent percent"),
        ("$5, £1 and €2.50", "five dollars one pound and two point five zero euros"),
        ("...", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_english(text, expected):
    assert normalize(text, "en") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 7 10 13 19", "zero seven ten thirteen nineteen"),
        ("20 21 90 99", "twenty twenty one ninety ninety nine"),
        ("100 101 110 999", "one hundred one hundred one one hundred ten nine hundred ninety nine"),
        ("1,000 2000 2024", "one thousand two thousand two thousand twenty four"),
        ("1,234", "one thousand two hundred thirty four"),
        ("10000 100,000", "ten thousand one hundred thousand"),
        ("999999",
         "nine hundred ninety nine thousand nine hundred ninety nine"),
        ("1,000,000", "one million"),
        ("1000000000", "one zero zero zero zero zero zero zero zero zero"),
        ("007 is 3.05.", "zero zero seven is three point zero five"),
        ("in 1455, 1900, 1905.", "in fourteen fifty five nineteen hundred nineteen oh five"),
        ("1st 2nd 3rd 4th 5th 8th 9th 12th", "first second third fourth fifth eighth ninth twelfth"),
        ("20th 21st 40th 100th 123rd", "twentieth twenty first fortieth one hundredth one hundred twenty third"),
        ("mp3 at 3:30", "mp three at three thirty"),
        ("one hundred and five", "one hundred five"),
        ("two thousand and twentieth, a hundred and one", "two thousand twentieth a hundred one"),
        ("a hundred and more", "a hundred and more"),
    ],
)  # fmt: skip
def test_numbers(text, expected):
    assert normalize(text, "en") == expected


def test_what_is_written_in_digits_and_in_words_is_the_same():
    pairs = [("105 dogs", "one hundred and five dogs"), ("the 21st", "the twenty-first"), ("$20", "twenty dollars")]
    assert all(normalize(a, "en") == normalize(b, "en") for a, b in pairs)


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("L’Été, 3 fois - « oui » !", "fr", "l'été 3 fois oui"),
        ("Straße: GROSS & klein", "de", "straße gross klein"),
        ("नमस्ते, दुनिया।", "hi", "नमस्ते दुनिया"),
        ("你好， 世界。", "zh", "你好世界"),
    ],
)
def test_other_languages(text, language, expected):
    assert normalize(text, language) == expected


@given(st.text(), st.sampled_from(["en", "fr", "ja"]))
def test_twice_is_once(text, language):
    once = normalize(text, language)
    assert normalize(once, language) == once and once == once.strip() and "  " not in once


@given(st.integers(0, 999_999))
def test_every_number_has_words_of_its_own(number):
    words = normalize(f"{number:,}", "en").split()
    scale = {"hundred": 100, "thousand": 1000}
    ones = {normalize(str(k), "en"): k for k in (*range(20), *range(20, 100, 10))}
    total = part = 0
    for word in words:
        if word == "thousand":
            total, part = total + part * 1000, 0
        else:
            part = part * scale[word] if word in scale else part + ones[word]
    assert total + part == number
