"""What the training of a vocoder lets its user see and hear: copies of recordings of the validation set."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evc2.feats.mel import log_mel
from evc2.fileio.audio import read_audio
from evc2.train.wav_crops import WavCrops

SECONDS = 3.0
"""Longest stretch of speech that is copied: a recurrent vocoder takes minutes for more."""


class Copies:
    """The first and the middle one of some utterances."""

    def __init__(self, crops: WavCrops, utts: Sequence[str]):
        self.crops = crops
        self.utts = list(dict.fromkeys((utts[0], utts[len(utts) // 2])))

    def score(self, model: Any, reporter: Any, between: Callable[[], None]) -> None:
        """Nothing: the losses of fixed crops say enough."""

    def show(self, model: Any, writer: Any, epoch: int, folder: Path) -> None:
        """Write sound and mel spectrogram of recording and copy to TensorBoard; nothing to ``folder``."""
        contract = self.crops.contract
        model.eval()
        for utt in self.utts:
            wav, _ = read_audio(self.crops.wavs[utt])
            wav = wav[: int(SECONDS * contract.rate)]
            mel = log_mel(wav, contract)
            given = mel if self.crops.feats is None else np.asarray(self.crops.feats[utt])[: len(mel)]
            copy = model.generate(given)
            for name, sound in {"recording": wav, "copy": copy}.items():
                if name == "copy" or epoch == 1:
                    writer.add_audio(f"{utt}/{name}", sound, epoch, contract.rate)
            writer.add_figure(f"{utt}/mel", draw({"recording": mel, "copy": log_mel(copy, contract)}), epoch)


def draw(mels: dict[str, np.ndarray]) -> Any:
    """A figure of mel spectrograms, one row each, in one colour range."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.2 * len(mels)), layout="constrained")
    low, high = min(m.min() for m in mels.values()), max(m.max() for m in mels.values())
    for axis, (name, mel) in zip(figure.subplots(len(mels), 1, squeeze=False)[:, 0], mels.items(), strict=True):
        axis.imshow(mel.T, aspect="auto", origin="lower", vmin=low, vmax=high)
        axis.set(title=name, ylabel="mel band", xlabel="frame")
    return figure
