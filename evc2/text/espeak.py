"""espeak-ng through the library in the package espeakng-loader: speech, when each of its phones begins, and IPA.

The interface is that of espeak-ng's header speak_lib.h.
"""

import ctypes
import re
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evc2.errors import UserError

RATE = 22050
"""Samples a second of all of its voices."""

_PARAMETERS = {"rate": 1, "volume": 2, "pitch": 3, "range": 4}  # espeak_PARAMETER
_SYNCHRONOUS, _UTF8, _LONGEST_PATH = 2, 1, 120
_PHONEME_EVENTS, _EVENTS_IN_IPA = 1, 2  # bits of espeak_Initialize's options
_END_OF_LIST, _PHONEME = 0, 7  # espeak_EVENT_TYPE
_IPA, _SEPARATOR = 2, "\x1f"  # of espeak_TextToPhonemes: the notation, and what it puts between phones
_SWITCH = re.compile(r"\([^()\s]*\)")  # "(en)": what follows is said as in another language
_STRESS = "ˈˌ"


class _Name(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_void_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Name),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Phone(NamedTuple):
    """A phone in espeak's own notation (mnemonics of ASCII letters, e.g. ``I`` ``eI`` ``S``), times in seconds.

    A pause is a phone whose name starts with ``_``.
    """

    name: str
    start: float
    stop: float

    @property
    def is_pause(self) -> bool:
        """Whether nothing is said."""
        return self.name.startswith("_") or not self.name


class Clause(NamedTuple):
    """What is said up to a pause, or up to where espeak cuts an endless text.

    phones: in IPA, one string a phone (``ˈɪ`` with the stress it bears, ``ɑːɹ`` with its colour).
    read: the characters of the text that had been read by then; one of the next clause may be among them.
    """

    phones: list[str]
    read: str


@cache
def _data_path() -> Path:
    """Where its data are, by a path that it can take; a link made for that lives as long as the process."""
    import espeakng_loader

    data = Path(espeakng_loader.get_data_path())
    if len(str(data)) <= _LONGEST_PATH:  # espeak cuts longer paths off without a word
        return data
    folder = tempfile.TemporaryDirectory()
    _folders.append(folder)
    link = Path(folder.name) / "espeak-ng-data"
    link.symlink_to(data)
    return link


_folders: list[tempfile.TemporaryDirectory] = []  # voices are read when they are first used


class Espeak:
    """Speech; one instance a process. Phones without speech: :func:`shared_espeak`.

    Its state goes from one sentence to the next, so equal output needs a fresh process and the same order.

    Args:
        phones: note the phones of what is said, in :attr:`phones`.
        ipa: name them in IPA instead of espeak's mnemonics.

    Attributes:
        phones: of the last sentence, one after the other from its start to its end; empty without ``phones``.

    Raises:
        UserError: the library does not start.
    """

    def __init__(self, phones: bool = False, ipa: bool = False) -> None:
        import espeakng_loader

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self._pieces: list[bytes] = []
        self._starts: list[tuple[float, str]] = []
        self.phones: list[Phone] = []
        self._callback = _Callback(self._receive)  # must live as long as the library may call it
        options = (_PHONEME_EVENTS | _EVENTS_IN_IPA * ipa) if phones else 0
        rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, str(_data_path()).encode(), options)
        if rate != RATE:
            raise UserError(f"espeak-ng cannot start (answer {rate}); reinstall the package espeakng-loader")
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p

    def _receive(self, samples: "ctypes._Pointer", number: int, events: "ctypes._Pointer") -> int:
        if samples and number > 0:
            self._pieces.append(ctypes.string_at(samples, 2 * number))
        for event in events or ():
            if event.type == _END_OF_LIST:
                break
            if event.type == _PHONEME:
                self._starts.append((event.audio_position / 1000, event.id.string.decode("utf-8", "replace")))
        return 0

    def set_voice(self, voice: str) -> None:
        """Choose a voice, such as ``en-us`` or ``de``; UserError for one that is not there."""
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise UserError(f"espeak-ng has no voice '{voice}'; another version of espeakng-loader may have it")

    def say(self, text: str, voice: str, **settings: int) -> np.ndarray:
        """Return 16-bit samples [N] at RATE; settings are rate (words a minute), volume, pitch and range.

        Raises:
            UserError: an unknown voice, or a text that gives no sound.
        """
        self.set_voice(voice)
        for name, value in settings.items():
            self._library.espeak_SetParameter(_PARAMETERS[name], value, 0)
        self._pieces.clear()
        self._starts.clear()
        words = text.encode()
        self._library.espeak_Synth(words, ctypes.c_size_t(len(words) + 1), 0, 0, 0, _UTF8, None, None)
        samples = np.frombuffer(b"".join(self._pieces), dtype="<i2")
        if not len(samples):
            raise UserError(f"espeak-ng gave no sound for '{text}'")
        ends = [*(start for start, _ in self._starts), len(samples) / RATE][1:]  # a phone ends where the next begins
        self.phones = [Phone(name, start, stop) for (start, name), stop in zip(self._starts, ends, strict=True)]
        return samples

    def clauses(self, text: str, voice: str) -> list[Clause]:
        """The phones of a text, clause by clause; makes no sound. Those without phones are left out.

        Numbers, abbreviations and symbols are read as words; marks of another language are removed.

        Raises:
            UserError: an unknown voice.
        """
        self.set_voice(voice)
        # A NUL would end the text for espeak, and other control characters mean something to it.
        raw = re.sub(r"[\x00-\x1f\x7f]", " ", text).encode("utf-8", "replace")
        buffer = ctypes.create_string_buffer(raw)
        begin = ctypes.addressof(buffer)
        place, found = ctypes.c_void_p(begin), []
        while place.value is not None:
            mode = _IPA | ord(_SEPARATOR) << 8
            told = self._library.espeak_TextToPhonemes(ctypes.byref(place), _UTF8, mode) or b""
            phones = _phones(told.decode("utf-8", "replace"))
            read = raw if place.value is None else raw[: place.value - begin]
            if phones:
                found.append(Clause(phones, read.decode("utf-8", "ignore")))
        return found


def _phones(told: str) -> list[str]:
    tokens = re.split(rf"[{_SEPARATOR}\s]+", _SWITCH.sub(_SEPARATOR, told))
    # What holds no letter is a pause ("_:") or a lone mark of length, of stress, of a tone.
    return [token for token in tokens if any(letter.isalpha() and letter not in _STRESS + "ː" for letter in token)]


@cache
def shared_espeak() -> Espeak:
    """The instance of this process for phones without speech.

    Raises:
        UserError: the package espeakng-loader is missing, or the library does not start.
    """
    try:
        return Espeak()
    except ImportError:
        raise UserError("phones come from espeak-ng, which is missing; pip install espeakng-loader") from None
