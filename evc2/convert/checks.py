"""Whether a system can do what a conversion is asked for; messages name what it can."""

from collections.abc import Sequence
from dataclasses import replace

from evc2.convert.options import Options
from evc2.errors import UserError, nearest
from evc2.feats.contract import FeatureContract
from evc2.train.abs_model import AbsEVCModel
from evc2.vocoder.abs_vocoder import AbsVocoder

F0_KEYS = ("kind", "rate", "f0_method", "f0_floor", "f0_ceil", "frame_period")
"""Of the contract: what decides the meaning of an F0 contour."""


def resolve(options: Options, model: AbsEVCModel, emotions: Sequence[str], f0_model: AbsEVCModel | None) -> Options:
    """Complete options by what a model knows: the source emotion of a system between two.

    Args:
        options: as asked for.
        model: the system, with contract and statistics.
        emotions: those that it knows.
        f0_model: beside it, for F0.

    Raises:
        UserError: unknown emotion, speaker or style; no source emotion where there are several; options that this
            system or the F0 model cannot serve.
    """
    if not model.converts:
        raise UserError("this system speaks text instead of converting recordings: use `evc2 synthesize --text ...`")
    source, domains = options.source_emotion, model.emotions
    check_asked(options, model)
    if source is None and len(domains) == 2 and options.emotion in domains:
        source = domains[1 - domains.index(options.emotion)]
    check_names(emotions, model.stats.speakers, options.emotion, options.speaker, source)
    if options.target_speaker is not None:
        check_names(emotions, model.stats.speakers, options.emotion, options.target_speaker)
    if source is None and len(domains) > 2 and not model.keeps_voice:
        raise UserError(
            f"this model converts between {len(domains)} emotions, so it must know the recording's: give the source "
            f"emotion (--source_emotion), one of {', '.join(domains)}"
        )
    check_style(options, type(model).__name__, model.styles)
    if model.contract.kind == "mel":
        for name, value in options.changed().items():
            raise UserError(f"{name} {value}: only systems on WORLD features change {name} by itself")
    options = replace(options, source_emotion=source)
    check_direction(options, f0_model)
    return options


def check_asked(options: Options, model: AbsEVCModel) -> None:
    """UserError where nobody said what to convert to: speaker, emotion or both, as the system's domains are."""
    if model.speakers and not model.keeps_voice and (options.target_speaker or options.speaker) not in model.speakers:
        wanted = options.target_speaker or options.speaker
        found = f"the voice '{wanted}' is unknown{nearest(wanted, model.speakers)}" if wanted else "no voice was named"
        raise UserError(f"{found}: give a target speaker (--target_speaker), one of {', '.join(model.speakers)}")
    if options.emotion is None and (model.emotions or not model.speakers):
        raise UserError("no emotion was named: give a target emotion (--emotion)")


def check_names(
    emotions: Sequence[str],
    speakers: Sequence[str],
    emotion: str | None,
    speaker: str | None,
    source: str | None = None,
) -> None:
    """UserError for an emotion or a speaker that is not among the known ones."""
    for what, value in (("emotion", emotion), ("source emotion", source)):
        if value is not None and value not in emotions:
            known = ", ".join(emotions)
            raise UserError(f"unknown {what} '{value}'{nearest(value, emotions)}; this model knows {known}")
    if speaker is not None and speaker not in speakers:
        known = ", ".join(speakers)
        raise UserError(
            f"unknown speaker '{speaker}'{nearest(speaker, speakers)}; this model knows {known}; "
            f"leave the speaker out for any other voice"
        )


def check_style(options: Options, system: str, offered: tuple[str, ...]) -> None:
    """UserError for a style that the system does not offer."""
    if options.style is None or options.style in offered:
        return
    if not offered:
        raise UserError(f"style '{options.style}': the system {system} has no styles to choose from; leave out --style")
    hint = nearest(options.style, offered)
    raise UserError(f"style '{options.style}'{hint}: the system {system} offers {', '.join(offered)}")


def check_vocoder(contract: FeatureContract, vocoder: AbsVocoder) -> None:
    """UserError for a vocoder that cannot make sound of a system's features."""
    if contract.kind == "world" and vocoder.kind != "world":
        raise UserError(
            f"this system works on WORLD features, which only WORLD can make sound of; found a vocoder for "
            f"'{vocoder.contract.name}' mel spectrograms: leave out --vocoder"
        )
    vocoder.adapter(contract, theirs="model")


def check_f0_model(contract: FeatureContract, f0_model: AbsEVCModel) -> None:
    """UserError for an F0 model that cannot serve a system with this contract."""
    if contract.kind != "world":
        raise UserError("an F0 model goes with systems on WORLD features; this one makes mel spectrograms")
    contract.require_same(f0_model.contract, mine="the model", theirs="the F0 model", keys=F0_KEYS)


def check_direction(options: Options, f0_model: AbsEVCModel | None) -> None:
    """UserError where ``f0`` ``cwt`` lacks its model, or that model lacks the direction."""
    if options.f0 != "cwt":
        return
    if f0_model is None:
        raise UserError("f0 cwt needs a model for F0: give --f0_model (a folder or pack trained with cyclegan_cwt)")
    known = f0_model.emotions
    for emotion in (options.source_emotion, options.emotion):
        if emotion is not None and emotion not in known:
            source = options.source_emotion or "any"
            raise UserError(
                f"the F0 model converts between {' and '.join(known)}, not from {source} to {options.emotion}; "
                f"choose another --f0_model or --f0 convert"
            )
