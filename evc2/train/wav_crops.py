"""Crops of waveforms with all samples that their mel frames are computed from."""

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from evc2.errors import UserError
from evc2.feats.contract import FeatureContract
from evc2.feats.mel import compress
from evc2.fileio.ark import ScpReader
from evc2.fileio.audio import read_audio
from evc2.fileio.datadir import DataDir
from evc2.nets.layers.logmel import padding
from evc2.train.collate_fn import crop_start


class WavCrops(torch.utils.data.Dataset):
    """``(utt, key)`` gives ``(utt, {"wav": [(F - 1) * hop + n_fft]})``, and ``feats`` [F, n_mels] and ``speaker``
    (a number) where asked for.

    The frames of a crop are those of the whole utterance: it takes its padding from the neighbouring samples, and from
    the contract's padding at the ends. Shorter utterances are followed by silence.

    Args:
        data: data directory with wav.scp at the contract's rate and utt2num_samples.
        contract: of the mel spectrogram.
        frames: F.
        generated: directory whose feats.scp holds generated mels, frame by frame in time with the recordings.
        gain: range from which a factor of the level is drawn uniformly, by the key; None leaves the level.
        speakers: numbers of the speakers whose utterances there are; None for all, without numbers.
    """

    def __init__(
        self,
        data: DataDir,
        contract: FeatureContract,
        frames: int,
        generated: str | None = None,
        gain: tuple[float, float] | None = None,
        speakers: Mapping[str, int] | None = None,
    ):
        self.contract, self.frames, self.gain = contract, frames, gain
        self.wavs = data.table("wav.scp")
        self.samples = {utt: int(n) for utt, n in data.table("utt2num_samples").items()}
        self.side = padding(contract)
        self.feats = ScpReader(f"{generated}/feats.scp") if generated else None
        if self.feats is not None:
            FeatureContract.load(f"{generated}/feats.yaml").require_same(contract, f"features in {generated}", "model")

        self.speaker: dict[str, int] | None = None
        if speakers is not None:
            self.speaker = {utt: speakers[spk] for utt, spk in data.table("utt2spk").items() if spk in speakers}

    def utts(self) -> list[str]:
        """Utterances that there are, in a fixed order."""
        sets = [set(there) for there in (self.wavs, self.feats, self.speaker) if there is not None]
        return sorted(set.intersection(*sets))

    def __getitem__(self, request: tuple[str, str]) -> tuple[str, dict[str, Any]]:
        utt, key = request
        c, n = self.contract, self.samples[utt]
        total = (n + 2 * self.side - c.n_fft) // c.hop + 1
        if self.feats is not None:
            there = self.feats.shape(utt)[0]
            if abs(there - total) > 2:
                raise UserError(f"{utt}: {there} generated frames, but the recording has {total}: not in time with it")
            total = min(total, there)
        start = crop_start(total, self.frames, f"{key} {utt}")
        item: dict[str, Any] = {"wav": self.cut(utt, n, start)}
        if self.gain is not None:
            low, high = self.gain
            item["wav"] = item["wav"] * np.float32(
                low + (high - low) * zlib.crc32(f"gain {key} {utt}".encode()) / 2**32
            )
        if self.feats is not None:
            feats = self.feats.crop(utt, start, min(self.frames, total))
            silence = compress(np.zeros((self.frames - len(feats), c.n_mels)), c)
            item["feats"] = np.concatenate((feats, silence)).astype(np.float32)
        if self.speaker is not None:
            item["speaker"] = np.int64(self.speaker[utt])
        return utt, item

    def cut(self, utt: str, n: int, start: int) -> np.ndarray:
        """Samples of the frames from ``start`` on, with those around them."""
        c = self.contract
        first = start * c.hop - self.side
        last = first + (self.frames - 1) * c.hop + c.n_fft
        a, b = max(first, 0), min(last, n)
        wav, rate = read_audio(self.wavs[utt], start=a / c.rate, stop=b / c.rate)
        if rate != c.rate:
            raise UserError(f"{self.wavs[utt]}: {rate} Hz, but the contract has {c.rate} Hz; run stage 2 again")
        whole = max(n, (self.frames - 1) * c.hop + c.n_fft - 2 * self.side)  # where a short utterance ends with silence
        wav = np.pad(wav, (0, min(last, whole) - b))
        return np.pad(wav, (max(-first, 0), max(last - whole, 0)), mode=c.pad)
