"""Whisper models: where one is, how it is loaded, and what it hears."""

from __future__ import annotations

import http.client
import logging
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evc2.errors import UserError, nearest
from evc2.evaluate.settings import Settings

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

BEAM = 5
"""Width of the search. Character errors on 40 converted utterances (CycleGAN, RAVDESS) with 1 and with 5: tiny.en 14.8
and 13.4 %, base 11.3 and 8.0 %, for 1 to 5 % more time (0.84 s and 1.5 s an utterance with one thread: the encoder
takes most of it). On 40 natural ones both heard the same (1.4 and 0.4 %)."""

NEEDED = ("model.bin", "config.json", "tokenizer.json")
"""Files of a model; without tokenizer.json faster-whisper would fetch one from the hub, unasked."""

REACH = 6.0
"""Seconds after which a hub that has not answered counts as out of reach."""


def missing(settings: Settings) -> str | None:
    """What recognition lacks here, in one line that says how to get it; None when all is there.

    A model that the hub has and this machine has not is fetched, if the settings allow it. The answer is kept, so that
    a machine without network waits once.

    Raises:
        UserError: the model is a folder that holds none, or a name that does not exist.
    """
    if find_spec("faster_whisper") is None:
        return "speech recognition needs faster-whisper: pip install faster-whisper, or tools/setup.sh --extras eval"
    name, language = settings.asr_model, settings.language
    if name.endswith(".en") and language != "en":
        return f"the Whisper model '{name}' knows English only and the language is '{language}': give --asr_model base"
    if _find(name, settings.download) is None:
        why = "the hub cannot be reached" if settings.download else "fetching is switched off"
        return (
            f"no Whisper model '{name}' here, and {why}: give --asr_model FOLDER (faster-whisper format) "
            "or let it be fetched from the hub"
        )
    known = _load(name, settings.download).supported_languages
    if language not in known:
        names = "English only" if known == ["en"] else f"no language '{language}'{nearest(language, known)}"
        return f"the Whisper model '{name}' knows {names}: give another --asr_model or --language"
    return None


def recognise(wav: np.ndarray, settings: Settings) -> str:
    """What a Whisper model hears, the same at every call: no sampling, no detection of speech, no earlier text.

    Args:
        wav: [n] float32 at 16 kHz, any length; cut into windows of 30 s.
        settings: model and language.

    Returns:
        The text as the model writes it, with capitals, digits and punctuation; empty for an empty wav, and where the
        model itself says that nobody speaks.

    Raises:
        UserError: the model is not here (``missing`` says so beforehand).

    Source: Radford et al., Robust speech recognition via large-scale weak supervision, 2022; search with a beam of
    ``BEAM``, weights in 8 bits.
    """
    if len(wav) == 0:
        return ""
    segments, _ = _load(settings.asr_model, settings.download).transcribe(
        np.ascontiguousarray(wav, dtype=np.float32),
        language=settings.language,
        beam_size=BEAM,
        temperature=0.0,
        condition_on_previous_text=False,
        without_timestamps=True,
        vad_filter=False,
    )
    return " ".join(segment.text.strip() for segment in segments).strip()


@cache
def _load(name: str, download: bool) -> WhisperModel:
    folder = _find(name, download)
    if folder is None:
        raise UserError(f"no Whisper model '{name}' here: give --asr_model FOLDER (faster-whisper format)")
    from faster_whisper import WhisperModel

    logging.getLogger("faster_whisper").setLevel(logging.WARNING)  # a line an utterance otherwise
    try:
        return WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True)
    except (RuntimeError, ValueError, OSError) as error:
        raise UserError(f"{folder}: expected a Whisper model in faster-whisper's format, found: {error}") from None


@cache
def _find(name: str, download: bool) -> Path | None:
    """The folder of a model given by folder or by name on the hub; None where a name is not to be had.

    A name of Whisper's own list ("base.en") means that model, even where a folder is called so; "./base.en" does not.
    """
    from faster_whisper.utils import available_models

    known = available_models()
    path = Path(name).expanduser()
    if name.startswith(("/", ".", "~")) or (path.exists() and name not in known):
        lacking = [file for file in NEEDED if not (path / file).is_file()]
        if lacking:
            raise UserError(
                f"--asr_model: {name}: expected a folder with {', '.join(NEEDED)} (faster-whisper format), "
                f"found {'none of that name' if not path.exists() else f'no {lacking[0]}'}"
            )
        return path
    if "/" not in name and name not in known:
        raise UserError(
            f"--asr_model: unknown model '{name}'{nearest(name, known)}; expected a folder or one of {', '.join(known)}"
        )
    return _of_hub(name, local=True) or (_of_hub(name, local=False) if download and hub_answers() else None)


def _of_hub(name: str, local: bool) -> Path | None:
    from faster_whisper.utils import download_model

    if not local:
        logging.info("fetching the Whisper model '%s' from the hub, once", name)
    with _quiet("huggingface_hub", "httpx", "httpx2", "httpcore"):
        # The hub's client raises errors of several libraries; they all mean that there is no model.
        try:
            folder = Path(download_model(name, local_files_only=local))
        except Exception as error:
            logging.debug("%s: %s", name, error)
            return None
    return folder if all((folder / file).is_file() for file in NEEDED) else None


def hub_answers() -> bool:
    """Whether the model hub answers within ``REACH`` seconds; no model is fetched."""
    from huggingface_hub import constants

    return not constants.HF_HUB_OFFLINE and reachable(f"{constants.ENDPOINT}/api/models?limit=1")


def reachable(url: str, seconds: float = REACH) -> bool:
    """Whether an address gives an answer (and no error) within that time.

    It is asked in a thread: the time-out of a connection does not cover the look-up of its name.
    """
    found: list[bool] = []

    def ask() -> None:
        try:
            urllib.request.urlopen(url, timeout=seconds).close()
            found.append(True)
        except (OSError, ValueError, http.client.HTTPException) as error:
            logging.debug("%s does not answer: %s", url, error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(found)


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
