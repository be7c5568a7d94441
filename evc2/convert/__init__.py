"""Conversion of speech: what the commands, the recipes and a web page call.

The class is imported late, because it needs torch and the commands' `--help` does not.
"""

from typing import Any

__all__ = ["EVC"]


def __getattr__(name: str) -> Any:
    if name == "EVC":
        from evc2.convert.evc import EVC

        return EVC
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
