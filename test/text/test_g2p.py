"""Text to phones, in IPA and in ARPAbet."""

import random
import re

import pytest

from evc2.errors import UserError
from evc2.text.g2p import build_g2p, read_g2p, with_silence
from evc2.text.lexicon import INVENTORY, read_lexicon, to_arpabet

pytest.importorskip("espeakng_loader")

KIDS = "Kids are talking by the door"
LEXICON = """;;; a comment
KIDS  K IH1 D Z
ARE  AA1 R
ARE(2)  ER0
TALKING\tT AO1 K IH0 NG
BY  B AY1 # late
THE  0.9 0.1 1.2E-1 DH AH0
DOOR  D AO1 R
O'NEIL  OW0 N IY1 L
CAFE  K AH0 F EY1
<UNK>  SPN
"""


@pytest.fixture
def lexicon(tmp_path):
    path = tmp_path / "words.dict"
    path.write_text(LEXICON)
    return path


def test_known_sentence_in_both_kinds(lexicon):
    assert build_g2p()(KIDS) == "k ˈɪ d z ɑːɹ t ˈɔː k ɪ ŋ b aɪ ð ə d ˈɔːɹ".split()
    arpabet = build_g2p("arpabet", lexicon=lexicon)
    assert " ".join(arpabet(KIDS)) == "K IH1 D Z AA1 R T AO1 K IH0 NG B AY1 DH AH0 D AO1 R"
    assert arpabet.unknown == {}
    # espeak weakens the small words; the rest is what CMUdict says
    assert " ".join(build_g2p("arpabet")(KIDS)) == "K IH1 D Z AA0 R T AO1 K IH0 NG B AY0 DH AH0 D AO1 R"
    assert with_silence(["K"]) == ["sil", "K", "sil"]


@pytest.mark.parametrize("kind", ["espeak", "arpabet", "lexicon"])
def test_pauses(kind, lexicon):
    g2p = (
        build_g2p("espeak")
        if kind == "espeak"
        else build_g2p("arpabet", lexicon=lexicon if kind == "lexicon" else None)
    )

    def pauses(text):
        phones = g2p(text)
        assert phones[0] != "sp" and phones[-1] != "sp" and "sil" not in phones
        assert all(pair != ("sp", "sp") for pair in zip(phones, phones[1:], strict=False))
        return phones.count("sp")

    assert pauses(f"{KIDS}.") == pauses(f"... {KIDS}") == 0
    assert pauses("Kids, by the door. Yes!  OK?") == 3
    assert pauses("Wait... what — now; then: so") == 4
    assert pauses("Dr. Smith met Mrs. Jones vs. the kids") == 0
    assert pauses("The U.S. Army well-known door's 3.5 or 1,000") <= 1
    assert pauses("kids " * 400) == 0, "espeak cuts long texts in pieces, which are no clauses"


def test_what_is_not_in_the_lexicon(lexicon):
    g2p = build_g2p("arpabet", lexicon=lexicon)
    assert g2p("dogs by the O’Neil café, dogs by-the door's 12") == (
        "D AA1 G Z B AY1 DH AH0 OW0 N IY1 L K AH0 F EY1 sp D AA1 G Z B AY1 DH AH0 D AO1 R Z T W EH1 L V".split()
    )
    assert g2p.unknown == {"dogs": 2, "door's": 1, "12": 1}
    assert g2p.inventory == INVENTORY and len(INVENTORY) == 24 + 3 * 15 + 3


def test_nothing_crashes(lexicon, caplog):
    kinds = [build_g2p(), build_g2p("arpabet"), build_g2p("arpabet", lexicon=lexicon)]
    texts = (
        "a😀b|日本語|\x00\x1fdoor|$5.50 & <b>5%</b>|x"
        + "y" * 3000
        + "|C'est la vie|привет|( ) door {|[[h@l'oU]]|½ .5 №"
    )
    for text in texts.split("|"):
        for g2p in kinds:
            phones = g2p(text)
            assert phones and all(phone and not re.search(r"[\s\x1f()_]", phone) for phone in phones)
            if g2p.inventory:
                assert set(phones) <= set(INVENTORY)
    for text in ("", "  ", "...", "( )", "\x00"):
        for g2p in kinds:
            with pytest.raises(UserError, match="nothing to say"):
                g2p(text)


def test_another_language():
    german = build_g2p(language="de")
    assert german("Das Team") == ["d", "a", "s", "t", "ˈiː", "m"], "the mark (en) is gone"
    with pytest.raises(UserError, match="no voice 'xx'"):
        build_g2p(language="xx")


def test_equal_from_call_to_call():
    texts = [KIDS, "He said: yes, 3.5 of them!", "Read it. I read it", "Mr. X, e.g., was there", "a é 😀 ’tis"]
    g2p, german = build_g2p(), build_g2p(language="de")
    first = {text: g2p(text) for text in texts}
    order = random.Random(0)
    for _ in range(10):
        order.shuffle(texts)
        for text in texts:
            german("Das Team, 3,5")
            assert g2p(text) == first[text] == build_g2p()(text)


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("fire", "F AY1 ER0"),
        ("bird", "B ER1 D"),
        ("near", "N IH1 R"),
        ("poor", "P UH1 R"),
        ("there", "DH EH1 R"),
        ("water", "W AO1 T ER0"),
        ("button", "B AH1 T AH0 N"),
        ("little", "L IH1 T AH0 L"),
        ("judge", "JH AH1 JH"),
        ("church", "CH ER1 CH"),
        ("vision", "V IH1 ZH AH0 N"),
        ("boy", "B OY1"),
        ("house", "HH AW1 S"),
        ("go", "G OW1"),
        ("ring", "R IH1 NG"),
        ("thin", "TH IH1 N"),
        ("measure", "M EH1 ZH ER0"),
        ("happy", "HH AE1 P IY0"),
        ("you", "Y UW1"),
        ("good", "G UH1 D"),
        ("she", "SH IY1"),
        ("understand", "AH2 N D ER0 S T AE1 N D"),
    ],
)
def test_arpabet_of_espeak(word, phones):
    given = build_g2p("arpabet")(word)
    assert [phone.rstrip("012") for phone in given] == [phone.rstrip("012") for phone in phones.split()]
    if word not in ("there", "near", "you", "she", "go"):  # small words have no stress of their own in espeak
        assert given == phones.split()


def test_symbols_without_counterpart_are_told_once(caplog):
    dropped = set()
    assert to_arpabet(["ˈǃa", "ǃ", "ˌɑːɹ", "n̩", "iːː"], dropped) == ["AA1", "AA2", "R", "AH0", "N", "IY0"]
    assert dropped == {"ǃ"} and len(caplog.records) == 1 and "U+01C3" in caplog.text


def test_lexicon(lexicon, tmp_path):
    words = read_lexicon(lexicon)
    assert words["are"] == ["AA1", "R"] and words["the"] == ["DH", "AH0"] and words["<unk>"] == ["spn"]
    assert words["by"] == ["B", "AY1"] and len(words) == 9
    path = tmp_path / "x"
    for text, message in (
        ("A AH\n", "x:1: 'A': expected phones of ARPAbet.*found 'AH'"),
        ("B B IY1\nA\n", "x:2: 'A': .*found no phone"),
        (";;;\n", "found none"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            read_lexicon(path)
    path.write_bytes(b"D\xc9J\xc0  D EY2 ZH AA1\n")
    assert list(read_lexicon(path)) == ["déjà"]
    with pytest.raises(UserError, match="cannot be read"):
        read_lexicon(tmp_path / "none")


def test_wrong_kinds(lexicon):
    with pytest.raises(UserError, match="did you mean espeak"):
        build_g2p("espek")
    with pytest.raises(UserError, match="needs --g2p arpabet"):
        build_g2p("espeak", lexicon=lexicon)
    with pytest.raises(UserError, match="phones of English"):
        build_g2p("arpabet", language="de")


def test_read_g2p(tmp_path):
    path = tmp_path / "g2p.yaml"
    with pytest.raises(UserError, match=r"g2p.yaml: no such file; evc2.bin.phonemize writes it"):
        read_g2p(tmp_path)
    for text, message in (
        ("kind: [", "not YAML"),
        ("espeak", "expected keys kind, language and lexicon, found 'espeak'"),
        ("{}", "expected keys"),
        ("kind: espeak\nspeed: 3", "expected keys"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=f"g2p.yaml: {message}"):
            read_g2p(str(tmp_path))
    path.write_bytes(b"kind: \xff")
    with pytest.raises(UserError, match="not YAML"):
        read_g2p(tmp_path)
    path.write_text("kind: arpabet\nlanguage: en-us\nlexicon: null\n")
    assert read_g2p(tmp_path) == {"kind": "arpabet", "language": "en-us", "lexicon": None}
