"""Teacher-forced features of a data directory, for the fine-tuning of a vocoder (GTA: ground-truth aligned)."""

import logging
from pathlib import Path

import numpy as np
import torch

from evc2.convert.evc import EVC
from evc2.errors import UserError
from evc2.feats.dump import part
from evc2.feats.extract import names
from evc2.fileio.ark import ArkWriter, ScpReader
from evc2.fileio.datadir import DataDir


@torch.inference_mode()
def gta_part(evc: EVC, data: DataDir, out: Path, job: int = 1, njobs: int = 1) -> None:
    """Write OUT/arks/feats.<job>.ark and .scp for one part of a data directory, to be joined by merge_extract.

    Args:
        evc: the loaded system.
        data: data directory with the features that the system reads.
        out: the folder to write to.
        job, njobs: which part of how many.

    Raises:
        UserError: a system without teacher-forced features, missing or foreign features, utterances without phones,
            durations or strength that the system needs, or a result that is not in time with its recording; nothing of
            this part is left then.
    """
    readers = {name: ScpReader(data.path / f"{name}.scp") for name in names(evc.contract)}
    speakers = data.table("utt2spk")
    emotions = data.table("utt2emo") if data.has("utt2emo") else {}
    known = set(evc.stats.speakers)
    phones = data.table("phones") if data.has("phones") else {}
    strength = data.table("utt2strength") if data.has("utt2strength") else {}
    durations = ScpReader(data.path / "durations.scp") if (data.path / "durations.scp").is_file() else {}
    (out / "feats.scp").unlink(missing_ok=True)
    path = out / "arks" / f"feats.{job}.ark"
    utts = part(data.utts, job, njobs)
    needs = {}
    if evc.model.reads_text:  # those that convert too find durations by themselves
        needs = {"phones": (phones, "stage 3")}
        needs |= {} if evc.model.converts else {"durations": (durations, "stage 3")}
    if getattr(evc.model, "strength", False):
        needs["strength of their emotion"] = (strength, "stage 4 with --strength true --force true")
    for what, (table, stage) in needs.items():
        if lacking := [utt for utt in data.utts if utt not in table]:
            raise UserError(
                f"{data.path}: {len(lacking)} utterances have no {what} ({', '.join(lacking[:3])}), so there is no "
                f"teacher-forced speech in time with them; make them ({stage}), or leave these utterances out "
                f"(utils/subset_data_dir.sh)"
            )
    with ArkWriter(path, path.with_suffix(".scp")) as writer:
        for utt in utts:
            source = {name: reader[utt] for name, reader in readers.items()}
            if utt in phones:
                source["phones"] = phones[utt].split()
            if utt in durations:
                source["durations"] = durations[utt]
            if utt in strength:
                source["strength"] = float(strength[utt])
            speaker = speakers[utt] if speakers[utt] in known else None
            feats = evc.model.teacher_forced({**source, "speaker": speaker, "emotion": emotions.get(utt)})
            if feats.shape != source["feats"].shape:
                raise UserError(f"{utt}: the system made {feats.shape}, but the recording has {source['feats'].shape}")
            writer[utt] = np.asarray(feats, dtype=np.float32)
    logging.info("job %d of %d: %d utterances", job, njobs, len(utts))
