"""Reading, writing and judging audio files: wav, flac, ogg and mp3 by libsndfile, and Kaldi's piped commands."""

import io
import logging
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import soundfile
import soxr

from evc2.errors import UserError
from evc2.fileio.atomic import atomic_path

MIN_SECONDS = 0.1
SILENCE = 1e-4  # peak below -80 dB of full scale: no microphone in a room is that quiet
FULL_SCALE = 0.999
CLIPPED_SHARE = 0.01
MAX_OVERSHOOT = 0.5  # seconds a segment may end after its recording, as in Kaldi's extract-segments


def _run_pipe(entry: str) -> io.BytesIO:
    # A wav.scp entry that ends with "|" is the user's own shell command, as everywhere in Kaldi.
    command = entry.rstrip()[:-1]
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise UserError(f"command failed with status {done.returncode}: {entry}: {lines[-1]}")
    if not done.stdout:
        raise UserError(f"command printed no audio: {entry}")
    return io.BytesIO(done.stdout)


def read_audio(
    entry: str | os.PathLike[str], rate: int | None = None, start: float | None = None, stop: float | None = None
) -> tuple[np.ndarray, int]:
    """Read one recording, or a part of it, as mono.

    Args:
        entry: path of a wav, flac, ogg or mp3 file, or a command that ends with "|" and prints one.
        rate: sample rate to convert to in Hz; None keeps the file's.
        start: first second of the part; None for the beginning.
        stop: last second of the part; None or a negative number for the end.

    Returns:
        float32 samples [N] in [-1, 1] (channels are averaged) and the sample rate.

    Raises:
        UserError: missing, unreadable or corrupt file, failed command, or a part outside the recording.
    """
    name = os.fspath(entry).strip()
    if name.endswith("|"):
        source: str | io.BytesIO = _run_pipe(name)
    elif not Path(name).is_file():
        found = "a folder" if Path(name).is_dir() else "nothing"
        raise UserError(f"{name}: expected an audio file, found {found} (paths are relative to the current folder)")
    else:
        source = name
    try:
        with soundfile.SoundFile(source) as file:
            _require_whole(name, file)
            first, last = _frames(name, file.frames, file.samplerate, start, stop)
            if first:
                file.seek(first)
            wav = file.read(-1 if last is None else last - first, dtype="float32", always_2d=True)
            found_rate = file.samplerate
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise UserError(f"{name}: cannot be read as audio: {error}") from None
    wav = wav[:, 0] if wav.shape[1] == 1 else wav.mean(axis=1, dtype=np.float32)
    if rate is not None and rate != found_rate and len(wav):
        wav, found_rate = soxr.resample(wav, found_rate, rate), rate
    return np.ascontiguousarray(wav, dtype=np.float32), found_rate if rate is None else rate


def _require_whole(name: str, file: soundfile.SoundFile) -> None:
    # libsndfile reads a wav that was cut short without a word; only its log tells that the header promises more.
    cut = re.search(r"^data : (\d+) \(should be (\d+)\)", file.extra_info, re.MULTILINE)
    # Programs that write to a pipe cannot know the length and put a huge one into the header.
    if cut and int(cut[1]) > int(cut[2]) and int(cut[1]) < 0x7FFF0000:
        raise UserError(f"{name}: truncated: its header promises {cut[1]} bytes of samples, {cut[2]} are there")


def _frames(name: str, frames: int, rate: int, start: float | None, stop: float | None) -> tuple[int, int | None]:
    first = round((start or 0.0) * rate)
    whole = stop is None or stop < 0
    last = frames if whole else round(stop * rate)
    if first < 0 or (first >= last and not (whole and first == 0)) or last > frames + MAX_OVERSHOOT * rate:
        end = "its end" if whole else f"{stop} s"
        raise UserError(f"{name}: the part from {start or 0.0} s to {end} is not within its {frames / rate:.3f} s")
    return first, None if whole else min(last, frames)


def write_audio(
    path: str | os.PathLike[str], wav: np.ndarray, rate: int, subtype: str = "PCM_16", sync_folder: bool = True
) -> None:
    """Write mono samples [N] (or [N, channels]) atomically, in the format of the path's suffix.

    Samples outside [-1, 1] are clipped with a warning, unless `subtype` stores floats. `sync_folder` is
    atomic_path's.

    Raises:
        UserError: NaN or infinity in `wav`, or a format or subtype that libsndfile cannot write.
    """
    wav = np.asarray(wav)
    if not np.isfinite(wav).all():
        raise UserError(f"{path}: the samples to write contain NaN or infinity")
    if subtype not in ("FLOAT", "DOUBLE"):
        over = np.abs(wav) > 1.0
        if over.any():
            logging.warning("%s: clipped %d of %d samples (peak %.3f)", path, over.sum(), wav.size, np.abs(wav).max())
            wav = np.clip(wav, -1.0, 1.0)
    kind = Path(path).suffix[1:].upper()
    if kind in ("OGG", "MP3"):  # lossy formats have one subtype each
        subtype = {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}[kind]
    if kind not in soundfile.available_formats() or not soundfile.check_format(kind, subtype):
        raise UserError(f"{path}: cannot write '{kind.lower()}' with subtype {subtype}; use .wav, .flac, .ogg or .mp3")
    with atomic_path(path, sync_folder) as temporary:
        # libsndfile reports a full disk as "unspecified internal error"; Python's file gives the real OSError.
        buffer = io.BytesIO()
        soundfile.write(buffer, wav, rate, subtype=subtype, format=kind)
        temporary.write_bytes(buffer.getbuffer())


def audio_problem(wav: np.ndarray, rate: int, min_seconds: float = MIN_SECONDS) -> str | None:
    """Say what makes mono samples [N] useless for training, or None if nothing does.

    A recording counts as clipped when over 1 % of its samples are at full scale, as too short below `min_seconds`.
    """
    if len(wav) == 0:
        return "empty"
    if not np.isfinite(wav).all():
        return "contains NaN or infinity"
    if len(wav) < min_seconds * rate:
        return f"shorter than {min_seconds:g} s"
    size = np.abs(wav)
    if size.max() < SILENCE:
        return "silent"
    share = float((size >= FULL_SCALE).mean())
    if share > CLIPPED_SHARE:
        return f"clipped: {100 * share:.1f} % of samples at full scale"
    return None
