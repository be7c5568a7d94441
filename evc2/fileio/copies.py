"""A data directory with other audio and other utterance ids: copies of speech beside the speech itself."""

import os
from collections.abc import Mapping
from pathlib import Path

from evc2.errors import UserError
from evc2.fileio.datadir import DataDir, utts_by_speaker, write_table
from evc2.fileio.tables import read_table

UTT_TABLES = ("text", "utt2emo", "utt2intensity", "utt2repetition", "utt2sentence", "utt2spk")


def copy(
    src: str | os.PathLike[str],
    dst: str | os.PathLike[str],
    suffix: str = "",
    wav_scp: str | os.PathLike[str] | None = None,
    values: Mapping[str, str] | None = None,
) -> None:
    """Write DST with SRC's labels (not its features).

    Args:
        src: data directory without segments.
        dst: folder to write.
        suffix: added to every utterance id.
        wav_scp: audio by SRC's ids in place of SRC's own, such as its vocoded copies.
        values: table -> value of every utterance, e.g. {"utt2vocoder": "world"}.

    Raises:
        UserError: SRC has segments, or WAV_SCP lacks an utterance.
    """
    data, dst = DataDir(src), Path(dst)
    if data.segments is not None:
        raise UserError(f"{data.path}: has segments; cut the audio first (evc2 format_wav)")
    wavs = data.table("wav.scp") if wav_scp is None else read_table(wav_scp)
    lost = [utt for utt in data.utts if utt not in wavs]
    if lost:
        raise UserError(
            f"{wav_scp or data.path}: lacks {len(lost)} of the utterances of {data.path}, '{lost[0]}' is one"
        )
    tables = {name: data.table(name) for name in UTT_TABLES if data.has(name)}
    tables["wav.scp"] = {utt: wavs[utt] for utt in data.utts}
    tables |= {name: dict.fromkeys(data.utts, value) for name, value in (values or {}).items()}
    for name, table in tables.items():
        write_table(dst / name, {utt + suffix: value for utt, value in table.items()})
    if data.has("spk2gender"):
        write_table(dst / "spk2gender", data.table("spk2gender"))
    write_table(dst / "spk2utt", utts_by_speaker({utt + suffix: spk for utt, spk in data.table("utt2spk").items()}))
