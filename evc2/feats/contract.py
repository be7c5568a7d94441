"""The feature contract: every number that decides what a feature value means, with a digest to compare by."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from evc2.errors import UserError, nearest

F0_METHODS = ("dio", "harvest")


def _integer(value: Any) -> int:
    number = float(value)
    if isinstance(value, bool) or number != int(number):
        raise ValueError("expected a whole number")
    return int(number)


def _number(value: Any) -> float:
    number = float(value)  # YAML reads 1e-5 as text, so text that is a number is fine
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError("expected a number")
    return number


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError("expected true or false")


def _one_of(*words: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        word = "none" if value is None else str(value)
        if word not in words:
            raise ValueError(f"expected one of {', '.join(words)}{nearest(word, words)}")
        return word

    return parse


def _scale(value: Any) -> str | list[float]:
    if value is None or value == "none":
        return "none"
    if isinstance(value, list | tuple) and len(value) == 2 and _number(value[0]) < _number(value[1]):
        return [_number(v) for v in value]
    raise ValueError("expected none or [low, high] with low < high")


_F0: dict[str, Callable[[Any], Any]] = {
    "f0_method": _one_of(*F0_METHODS),
    "f0_floor": _number,
    "f0_ceil": _number,
}
_KINDS: dict[str, dict[str, Callable[[Any], Any]]] = {
    "world": {"rate": _integer, **_F0, "frame_period": _number, "fft_size": _integer, "order": _integer},
    "mel": {
        "rate": _integer,
        "n_fft": _integer,
        "hop": _integer,
        "win": _integer,
        "window": _one_of("hann", "hamming"),
        "center": _bool,
        "pad": _one_of("reflect", "constant", "none"),
        "power": _number,
        "n_mels": _integer,
        "fmin": _number,
        "fmax": _number,
        "mel_scale": _one_of("slaney", "htk"),
        "mel_norm": _one_of("slaney", "none"),
        "log_base": _one_of("e", "10", "db"),
        "floor": _number,
        "floor_place": _one_of("clip", "add"),
        "scale": _scale,
    },
}
_OPTIONAL: dict[str, tuple[str, ...]] = {"world": (), "mel": tuple(_F0)}


class FeatureContract:
    """What the features are; read-only. The keys are attributes (`contract.rate`).

    Use :meth:`load` or :meth:`from_dict`. conf/feats_world.yaml and conf/feats_hifigan.yaml explain every key. A mel
    contract may leave out the three f0 keys; then no F0 is extracted (`contract.has_f0`).

    Attributes:
        name: for people and folder names; not compared.
        kind: "world" or "mel".
    """

    def __init__(self, name: str, kind: str, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values, name=name, kind=kind, _values=dict(values))

    def __setattr__(self, key: str, value: object) -> None:
        raise AttributeError("a feature contract is read-only")

    def __repr__(self) -> str:
        return f"FeatureContract({self.to_dict()})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FeatureContract) and self._comparable() == other._comparable()

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple:
        return FeatureContract, (self.name, self.kind, self._values)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FeatureContract:
        """Read a YAML file; without a key `name` the name is the file's, less "feats_".

        Raises:
            UserError: missing file, invalid YAML, unknown or missing key, impossible value.
        """
        import yaml

        path = Path(path)
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise UserError(f"{path}: cannot read the feature contract: {error.strerror}") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
        if not isinstance(content, dict):
            raise UserError(f"{path}: expected `key: value` lines of a feature contract")
        return cls.from_dict({"name": path.stem.removeprefix("feats_"), **content}, where=str(path))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "feature contract") -> FeatureContract:
        """Check and complete a mapping with the keys `kind`, those of that kind, and optionally `name`.

        Args:
            values: as in the YAML file; `fmax: null` stands for half the rate.
            where: what to call it in error messages.

        Raises:
            UserError: unknown or missing key (with the nearest valid one), impossible value.
        """
        given = dict(values)
        name, kind = str(given.pop("name", "unnamed")), given.pop("kind", None)
        if kind not in _KINDS:
            raise UserError(f"{where}: kind: expected one of {', '.join(_KINDS)}, found '{kind}'")
        if not name or "/" in name or name != "".join(name.split()):
            raise UserError(f"{where}: name: '{name}' cannot be part of a folder's name")
        known = {**_KINDS[kind], **(_F0 if kind == "mel" else {})}
        for key in given:
            if key not in known:
                raise UserError(f"{where}: unknown key '{key}'{nearest(str(key), known)}")
        optional = () if set(given) & set(_OPTIONAL[kind]) else _OPTIONAL[kind]
        missing = [key for key in known if key not in given and key not in optional]
        if missing:
            raise UserError(f"{where}: missing {', '.join(missing)}; a {kind} contract has the keys {', '.join(known)}")
        if kind == "mel" and given["fmax"] is None:
            given["fmax"] = given["rate"] / 2
        checked = {}
        for key, parse in known.items():
            if key in given:
                try:
                    checked[key] = parse(given[key])
                except (ValueError, TypeError) as error:
                    hint = str(error) if str(error).startswith("expected") else "expected a number"
                    raise UserError(f"{where}: {key}: {hint}, found '{given[key]}'") from None
        _check_ranges(kind, checked, where)
        return cls(name, kind, checked)

    def to_dict(self) -> dict[str, Any]:
        """The plain dict (name, kind, keys) that :meth:`from_dict` reads and YAML and JSON can hold."""
        return {"name": self.name, "kind": self.kind, **self._values}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as YAML, atomically."""
        import yaml

        from evc2.fileio.atomic import write_text

        write_text(path, yaml.safe_dump(self.to_dict(), sort_keys=False))

    def _comparable(self) -> dict[str, Any]:
        return {"kind": self.kind, **self._values}

    @property
    def digest(self) -> str:
        """First 8 hexadecimal digits of the SHA-256 of the canonical JSON (sorted keys, without the name)."""
        text = json.dumps(self._comparable(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    @property
    def dirname(self) -> str:
        """Name of the folder below dump/ that holds features of this contract."""
        return f"{self.name}_{self.digest}"

    @property
    def has_f0(self) -> bool:
        """Whether F0 is part of the features."""
        return "f0_method" in self._values

    @property
    def dim(self) -> int:
        """Values a frame of `feats`."""
        return self.order if self.kind == "world" else self.n_mels

    @property
    def frame_seconds(self) -> float:
        """Seconds from one frame to the next."""
        return self.frame_period / 1000 if self.kind == "world" else self.hop / self.rate

    def differences(self, other: FeatureContract, keys: Iterable[str] | None = None) -> dict[str, tuple[Any, Any]]:
        """Keys whose values differ -> (own, other's); a key that one side lacks counts, as None.

        Args:
            keys: compare these only (a vocoder does not care about F0, for one); None for all.
        """
        mine, theirs = self._comparable(), other._comparable()
        wanted = [*mine, *(key for key in theirs if key not in mine)] if keys is None else list(keys)
        return {key: (mine.get(key), theirs.get(key)) for key in wanted if mine.get(key) != theirs.get(key)}

    def require_same(
        self,
        other: FeatureContract,
        mine: str = "model",
        theirs: str = "features",
        keys: Iterable[str] | None = None,
    ) -> None:
        """Compare with another contract; `mine` and `theirs` say in the message what each belongs to.

        Raises:
            UserError: they differ; each differing key is named with both values.
        """
        different = self.differences(other, keys)
        if different:
            listing = "; ".join(f"{key}: {a} ({mine}), {b} ({theirs})" for key, (a, b) in different.items())
            raise UserError(
                f"the feature contracts of {mine} ('{self.name}') and {theirs} ('{other.name}') differ: {listing}. "
                f"Use the same conf/feats_<name>.yaml for both, or extract the features again"
            )


def _check_ranges(kind: str, v: Mapping[str, Any], where: str) -> None:
    """Raise a UserError for values that no analysis could work with."""
    if kind == "world":
        lowest = 3.0 * v["rate"] / (v["fft_size"] - 3) if v["fft_size"] > 3 else math.inf
        rules = [
            ("frame_period", 0 < v["frame_period"] <= 100, "expected above 0 and at most 100 (milliseconds)"),
            ("fft_size", v["fft_size"] & (v["fft_size"] - 1) == 0 and v["fft_size"] >= 64, "expected a power of two"),
            ("order", 2 <= v["order"] <= v["fft_size"] // 4, f"expected 2 to {v['fft_size'] // 4}"),
            (
                "f0_floor",
                v["f0_floor"] >= lowest,
                # CheapTrick treats frames below 3 rate / (fft_size - 3) as unvoiced.
                f"with fft_size {v['fft_size']} at {v['rate']} Hz the lowest pitch is {lowest:.1f} Hz; raise one",
            ),
        ]
    else:
        rules = [
            ("n_fft", v["n_fft"] >= 16 and v["n_fft"] % 2 == 0, "expected an even number of at least 16"),
            ("win", 0 < v["win"] <= v["n_fft"], f"expected 1 to n_fft = {v['n_fft']}"),
            ("hop", 0 < v["hop"] <= v["win"], f"expected 1 to win = {v['win']}"),
            ("pad", not (v["center"] and v["pad"] == "none"), "center: true needs reflect or constant"),
            ("power", v["power"] in (1.0, 2.0), "expected 1 (magnitude) or 2 (power)"),
            ("n_mels", 0 < v["n_mels"] <= v["n_fft"] // 2, f"expected 1 to {v['n_fft'] // 2}"),
            ("fmin", 0 <= v["fmin"] < v["fmax"], "expected 0 or more, and below fmax"),
            ("fmax", v["fmax"] <= v["rate"] / 2, f"expected at most half the rate, {v['rate'] / 2}"),
            ("floor", v["floor"] > 0, "expected above 0"),
        ]
    rules.append(("rate", 4000 <= v["rate"] <= 192000, "expected 4000 to 192000 Hz"))
    if "f0_floor" in v:
        rules.append(("f0_ceil", 0 < v["f0_floor"] < v["f0_ceil"] < v["rate"] / 2, "expected f0_floor < f0_ceil"))
    for key, good, hint in rules:
        if not good:
            raise UserError(f"{where}: {key}: {hint}; found {v[key]}")
