"""espeak-ng's phones with their times; its sound is tested with the toy corpora."""

import json
import subprocess
import sys

import pytest

from evc2.errors import UserError

CODE = """
import json, sys
from evc2.text.espeak import RATE, Espeak
speech = Espeak(phones=sys.argv[1] == "1")
wav = speech.say("The bat met a pin.", "en+m3", rate=150)
print(json.dumps([len(wav) / RATE, [tuple(phone) for phone in speech.phones]]))
"""


def say(phones):
    # A process of its own: the library takes its options once.
    pytest.importorskip("espeakng_loader")
    done = subprocess.run([sys.executable, "-c", CODE, phones], check=True, capture_output=True, text=True, timeout=60)
    return json.loads(done.stdout)


def test_phones_with_their_times():
    seconds, phones = say("1")
    names = [name.strip("',") for name, _, _ in phones if not name.startswith("_")]
    assert "".join(names[2:5] + names[5:8] + names[-3:]) == "batmEtpIn" and names[0] == "D" and len(names) == 12
    assert phones[0][1] < 0.1 and phones[-1][2] == pytest.approx(seconds)
    for (_, start, stop), (_, following, _) in zip(phones, phones[1:], strict=False):
        assert 0.005 < stop - start < 0.5 and stop == following
    vowel = next(stop - start for name, start, stop in phones if name == "'a")
    assert vowel > 0.08  # a stressed vowel is among the long ones


def test_phones_are_asked_for():
    seconds, phones = say("0")
    assert phones == [] and seconds == say("1")[0]


def test_unknown_voice_and_no_sound():
    pytest.importorskip("espeakng_loader")
    from evc2.text.espeak import Espeak, Phone

    speech = Espeak()
    with pytest.raises(UserError, match="no voice 'xx\\+nobody'"):
        speech.say("Hello.", "xx+nobody")
    assert Phone("_:", 0, 1).is_pause and Phone("", 0, 1).is_pause and not Phone("a", 0, 1).is_pause
