"""Conversion of speech: what the commands, the recipes and a web page call.

The classes are imported late, because they need torch and the commands' `--help` does not.
"""

from typing import Any

__all__ = ["EVC", "TTS"]


def __getattr__(name: str) -> Any:
    if name == "EVC":
        from evc2.convert.evc import EVC

        return EVC
    if name == "TTS":
        from evc2.convert.tts import TTS

        return TTS
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
