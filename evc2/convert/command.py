"""What the options of a command stand for."""

from argparse import Namespace
from typing import Any

from evc2.cli import vocoder_conf
from evc2.convert.evc import EVC
from evc2.convert.loading import check_device, contract_of
from evc2.convert.tts import TTS
from evc2.errors import UserError
from evc2.fileio.audio import read_audio
from evc2.vocoder import build_vocoder


def load(args: Namespace) -> EVC:
    """The system that the options of evc2.bin.convert name, with the vocoder that was asked for."""
    vocoder, conf = None, vocoder_conf(args)
    if args.vocoder is not None:
        vocoder = build_vocoder(args.vocoder, contract_of(args.model), check_device(args.device), **conf)
    return EVC.from_pretrained(args.model, args.model_file, args.device, vocoder, args.f0_model)


def load_tts(args: Namespace) -> TTS:
    """The system that reads text which the options of evc2.bin.synthesize name, with the vocoder asked for."""
    args.f0_model = None
    return TTS.of(load(args))


def style_reference(args: Namespace, evc: EVC) -> dict[str, Any] | None:
    """Features of the --reference recording, analysed once for all conversions; None without one."""
    if args.reference is None:
        return None
    try:
        return evc.reference(*read_audio(args.reference))
    except UserError as error:
        message = str(error)
        raise UserError(
            f"--reference {message if args.reference in message else f'{args.reference}: {message}'}"
        ) from None
