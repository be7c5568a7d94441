"""What metrics are told beside the wavs: models to use, and whether one may be fetched. The same in every process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Options of metrics.

    Attributes:
        asr_model: folder of a Whisper model in faster-whisper's format, or its name on the hub.
        language: of the speech, as Whisper names it ("en").
        judges: folders of emotion judges.
        download: whether a model that is not here may be fetched.
    """

    asr_model: str = "base.en"
    language: str = "en"
    judges: tuple[str, ...] = ()
    download: bool = True


_current = Settings()


def settings() -> Settings:
    """The settings of this process."""
    return _current


def use(new: Settings) -> None:
    """Let all metrics of this process use these settings."""
    global _current
    _current = new
