"""What every trainable model is: nets, losses and turns; and, for a system, a conversion; behind one interface."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import torch
from espnet2.train.abs_espnet_model import AbsESPnetModel
from torch import nn

from evc2.errors import UserError, nearest
from evc2.feats.contract import FeatureContract
from evc2.feats.normalize import Normalizer
from evc2.feats.stats import Stats
from evc2.fileio.ark import ScpReader


@dataclass(frozen=True)
class ConversionTarget:
    """What a source is to become.

    Attributes:
        emotion: one of the model's emotions; None for a system whose domains are speakers.
        speaker: the target speaker; None keeps the source's.
        intensity: 0 gives the source, 1 the full conversion; values beyond extrapolate.
        spectrum_intensity: the same for the spectrum alone, of systems that convert F0 and power beside it; None:
            ``intensity``.
        style: one of the system's ``styles``; None takes the first of them.
        reference: for the style ``reference``: ``feats``, ``f0``, ``power``, ``speaker``, ``emotion`` of an utterance,
            as for a source.
        seed: of a random style.
        voice: of systems that speak text: a speaker vector [D] instead of one of the model's speakers.
        speed: of the same: rate of speech, 1 as learned, 2 twice as fast.
    """

    emotion: str | None = None
    speaker: str | None = None
    intensity: float = 1.0
    spectrum_intensity: float | None = None
    style: str | None = None
    reference: Mapping[str, Any] | None = None
    seed: int = 0
    voice: np.ndarray | None = None
    speed: float = 1.0

    @property
    def spectrum_share(self) -> float:
        """The intensity that holds for the spectrum."""
        return self.intensity if self.spectrum_intensity is None else self.spectrum_intensity


class BatchCache(SimpleNamespace):
    """What the turns of one batch share. A class of its own, because DDP hands it on as it is (it copies dicts)."""


class AbsTurnModel(AbsESPnetModel):
    """Base class of all that the trainer trains.

    Class attributes:
        turns: names of the updates in their order, each with an optimizer of its own; an instance may have fewer.
        collation: how utterances become a batch: ``pad``, ``crop``, ``crop_pair``, ``crop_set``, ``crop_wav`` or
            ``utterance``.
        not_averaged: prefixes of state that the average of several models takes from the first of them as it is.
        required, optional: names of the inputs (``feats`` is read from ``feats.scp`` and so on).

    Instances carry ``contract`` (of the features they were trained on) once their task has set it.
    """

    turns: ClassVar[tuple[str, ...]] = ("main",)
    collation: ClassVar[str] = "pad"
    required: ClassVar[tuple[str, ...]] = ("feats",)
    optional: ClassVar[tuple[str, ...]] = ()
    not_averaged: ClassVar[tuple[str, ...]] = ()
    contract: FeatureContract
    #: Step from which each turn is made; the task sets it from the optimizers' ``start_step``.
    start_steps: Mapping[str, int] = {}

    def networks(self) -> dict[str, nn.Module]:
        """The networks by name, each distinct one once: what show_model lists and --compile compiles."""
        return {name: net for name, net in self.named_children() if any(True for _ in net.parameters())}

    def turn_parameters(self, turn: str) -> Iterator[nn.Parameter]:
        """The parameters that the optimizer of this turn steps and clips."""
        if self.turns == (turn,):
            return self.parameters()
        raise NotImplementedError(f"{type(self).__name__} has turns {self.turns} and must say what {turn} owns")

    def turn_groups(self, turn: str) -> list[dict[str, Any]]:
        """The same in groups for the optimizer: ``params``, and ``lr_scale``, a factor of the turn's learning rate."""
        return [{"params": list(self.turn_parameters(turn)), "lr_scale": 1.0}]

    def begin_batch(self, step: int, batch: Mapping[str, Any]) -> BatchCache:
        """Prepare what several turns share; called once a batch, before the first turn."""
        return BatchCache()

    @abstractmethod
    def forward(
        self, turn: str | None = None, step: int = 0, cache: BatchCache | None = None, **batch: Any
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """Return (loss, stats, weight) of one turn; without a turn, loss and stats of all (validation).

        stats are detached scalars on the device; weight is the batch size, by which stats are averaged.
        """

    def get_ready(self, dataset: Any) -> None:
        """Measure of the training's dataset what validation and conversion need; called before each validation, in
        evaluation mode and with the averaged weights. All processes do the same. Else nothing.
        """

    def remark(self, stats: Mapping[str, float], step: int) -> str | None:
        """What a user should be told of the figures of a validation after so many steps; None: nothing."""
        return None

    def collect_feats(self, **batch: Any) -> dict[str, torch.Tensor]:
        """Features for espnet2's collect_stats (the recipes use evc2.bin.stats)."""
        return {name: batch[name] for name in batch if name == "feats" or name.endswith("_lengths")}


def emotions_of(domains: Iterable[str]) -> tuple[str, ...]:
    """Emotions of domains, each an emotion or ``speaker:emotion``."""
    return tuple(name.split(":")[-1] for name in domains)


def speakers_of(domains: Iterable[str]) -> tuple[str, ...]:
    """Speakers of domains, each a speaker or ``speaker:emotion``."""
    return tuple(name.split(":")[0] for name in domains)


class AbsEVCModel(AbsTurnModel):
    """Base class of the conversion systems.

    Class attributes:
        training_only: prefixes of parameters that conversion does not need (discriminators); packs leave them out.
        styles: ways to choose the style of a conversion (``mean``, ``reference``, ``random``), the default first; none
            for systems without style codes.
        emotions: those of the domains that an instance converts between, in their order; none for systems without
            domains, or whose domains are speakers.
        speakers: those whose voices an instance can give a recording; none for systems that keep the voice.
        loudness: level in dBFS that quieter recordings are raised to before conversion; None: none is.
        per_code: frames of a discrete unit, of systems that have units (their ``encode`` gives them); else None.
        max_domains: how many domains a model can have (systems with an argument ``domains``).
        reads_text: whether it speaks ``phones`` (of a source, or of any text). Such systems have ``g2p``, how text
            becomes phones.
        spembs_kind: what made the speaker vectors that it takes voices from; None: it takes none.
        converts: whether it converts recordings; if not, it speaks text alone.
        keeps_voice: of systems with ``speakers``: whether it can leave a voice as it is that is none of these.
        counts: of each kind of label in the place of the training data's, where nothing but sizes is wanted.

    Instances carry ``contract`` and ``stats`` once EVCTask or ``EVC.from_pretrained`` has set them.
    """

    training_only: ClassVar[tuple[str, ...]] = ()
    styles: ClassVar[tuple[str, ...]] = ()
    spembs_kind: str | None = None
    emotions: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ()
    loudness: float | None = None
    per_code: ClassVar[int | None] = None
    max_domains: ClassVar[int] = 2
    reads_text: ClassVar[bool] = False
    converts: ClassVar[bool] = True
    keeps_voice: ClassVar[bool] = False
    counts: ClassVar[Mapping[str, int]] = {"speakers": 10, "emotions": 8, "tokens": 100}
    stats: Stats

    @classmethod
    def crops(cls, folder: str, stats: Stats, conf: Callable[[str], Any]) -> tuple[Any, Callable[..., np.ndarray]]:
        """What training crops are cut from: a reader and what normalises a crop of it.

        Args:
            folder: feature directory.
            stats: of the training data.
            conf: gives a key of system_conf, or its default.

        Returns:
            an iterable of utterances with ``shape(utt)`` and ``crop(utt, start, frames)``, as ScpReader is; and
            (crop [T, D], speaker, emotion) -> normalised crop.
        """
        return ScpReader(f"{folder}/feats.scp"), Normalizer(stats, conf("normalize_by") or "speaker_emotion")

    @classmethod
    def labels_of(
        cls, conf: Mapping[str, Any], stats: Stats, folder: str, start: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Keys of system_conf that the training data name, for systems that are built from these; else none.

        Args:
            conf: system_conf; what it gives already stays.
            stats: of the training data.
            folder: their feature directory.
            start: system_conf of the model that training starts from, if any.
        """
        return {}

    @property
    def label_rows(self) -> dict[str, str]:
        """Entries of state_dict with a row for every label, and the attribute that lists these labels; with
        ``--init_param`` their rows go by label. Without an attribute (""): those that never come from another model.
        """
        return {}

    def take_vectors(self, folder: str) -> None:
        """Take from the feature directory of the training what the model keeps beside its parameters; else nothing."""

    def check_contract(self) -> None:
        """UserError for a contract that the system cannot work on; called once the contract is set, in training and for
        conversion.
        """

    def number(self, kind: str, name: str | None) -> int:
        """Number of a speaker or an emotion; UserError where the model has none of that name."""
        known = self.speakers if kind == "speaker" else self.emotions
        if name not in known:
            found = f"no {kind} was named" if name is None else f"{kind} {name!r} is unknown{nearest(name, known)}"
            raise UserError(f"{found}; this model has {', '.join(known)}")
        return known.index(name)

    @abstractmethod
    def convert(self, source: Mapping[str, Any], target: ConversionTarget) -> dict[str, np.ndarray | None]:
        """Convert one utterance.

        Args:
            source: ``feats`` [T, D], ``f0`` [T] in Hz, ``power`` [T] in nats (numpy), ``speaker`` and ``emotion``
                (None when unknown); for systems that read text ``phones``, a list, and no ``feats`` where there is no
                recording.
            target: what it is to become.

        Returns:
            ``feats``, ``f0``, ``power`` of the converted utterance; ``power`` is None when the converted spectrum
            holds its own. A system that makes its own sound adds ``wav`` at the contract's rate.

        Raises:
            UserError: emotion or direction unknown to the model.
        """

    def panels(self, source: Mapping[str, Any], target: ConversionTarget) -> dict[str, np.ndarray]:
        """Features [T, D] to show beside the source: ``converted``, whatever else a system makes on the way, and
        ``spoken`` where it makes its own sound.
        """
        return {"converted": self.convert(source, target)["feats"]}

    def pictures(self, source: Mapping[str, Any], target: ConversionTarget) -> dict[str, np.ndarray]:
        """What else of a conversion is worth a look, such as attention: images [rows, columns], values 0 to 1."""
        return {}

    def unit_images(self, feats: np.ndarray) -> np.ndarray:
        """Features [T, D] as an image [D, T] of values from 0 to 1, for comparisons of structure (SSIM).

        Raises:
            UserError: a system that does not take features as images.
        """
        raise UserError(
            f"{type(self).__name__} does not convert mel spectrograms as images, so there are none to compare"
        )

    def teacher_forced(self, source: Mapping[str, Any]) -> np.ndarray:
        """Mel spectrogram [T, n_mels] that the system makes of an utterance while it is led by it, frame by frame.

        A vocoder that is fine-tuned on these (with the recording as its target) learns to mend what the system does.

        Args:
            source: as for :meth:`convert`.

        Raises:
            UserError: a system that has nothing of the kind.
        """
        raise UserError(
            f"{type(self).__name__} makes no teacher-forced mel spectrograms (--gta): it is no system on mel "
            f"spectrograms, or does not keep the time axis"
        )

    def score_trial(self, source: Mapping[str, Any], reference: Mapping[str, Any], emotion: str) -> dict[str, float]:
        """Validation metrics of one converted trial against its reference; the best model is chosen by these."""
        return {}
