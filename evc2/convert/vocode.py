"""Waveforms of a data directory through any vocoder: from its stored features, or by copy-synthesis."""

from collections.abc import Callable

from evc2.convert.anchors import at_rate
from evc2.convert.jobs import Made, utterance
from evc2.errors import UserError
from evc2.feats import world
from evc2.feats.contract import FeatureContract
from evc2.feats.extract import extract
from evc2.fileio.ark import ScpReader
from evc2.fileio.datadir import DataDir
from evc2.vocoder.abs_vocoder import AbsVocoder


def copying(data: DataDir, vocoder: AbsVocoder, coded: bool = False) -> Callable[[str], Made]:
    """What makes one utterance by analysis and synthesis, for :func:`evc2.convert.jobs.run_jobs`.

    Args:
        data: data directory with wav.scp.
        vocoder: decides the features, by its contract.
        coded: WORLD only: synthesise from the coded envelope, the best that a system on these features can reach;
            otherwise from the measured one.
    """
    contract = vocoder.contract

    def work(utt: str) -> Made:
        wav = at_rate(*utterance(data, utt), contract)
        if contract.kind == "world":
            feats = world.analyze(wav, contract, with_envelope=True)
            if coded:
                feats["sp"] = world.decode(feats["feats"], contract)
        else:
            feats = extract(wav, contract)
        return vocoder(feats, contract=contract, length=len(wav)), contract.rate

    return work


def stored(data: DataDir, vocoder: AbsVocoder, contract: FeatureContract) -> Callable[[str], Made]:
    """What makes one utterance from feats.scp (and f0.scp where there is one).

    Args:
        data: data directory with features.
        vocoder: makes the sound.
        contract: of the features in `data`.

    The wav gets as many samples as the recording had, where utt2num_samples tells them: features end on a whole frame.

    Raises:
        UserError: no features, or features that cannot be converted to the vocoder's contract (before the first
            synthesis).
    """
    vocoder.adapter(contract, theirs=f"features in {data.path}")
    if not data.has("feats.scp"):
        raise UserError(f"{data.path}: expected feats.scp, found none; --copy_synthesis true works on recordings")
    readers = {name: ScpReader(data.path / f"{name}.scp") for name in ("feats", "f0") if data.has(f"{name}.scp")}
    samples = data.table("utt2num_samples") if data.has("utt2num_samples") else {}

    def work(utt: str) -> Made:
        feats = {name: reader[utt] for name, reader in readers.items()}
        length = int(samples[utt]) if utt in samples else None
        return vocoder(feats, contract=contract, length=length), contract.rate

    return work
