"""Phones as numbers."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence

import numpy as np

from evc2.errors import UserError
from evc2.text.lexicon import SILENCES

PAD, UNKNOWN = "<pad>", "<unk>"
_STRESS = re.compile(r"[ˈˌ]|(?<=^[A-Z]{2})[0-2]$")  # of the IPA; of ARPAbet's vowels
_LENGTH = re.compile(r"[ːˑ]")


def token_list(rows: Iterable[Sequence[str]], known: Iterable[str] = ()) -> list[str]:
    """The tokens of a corpus: ``<pad>``, ``<unk>``, ``sil``, ``sp``, then the other phones, sorted.

    Args:
        rows: the phones of each utterance.
        known: phones that are tokens whether they occur or not, because a model has learned them before.
    """
    first = [PAD, UNKNOWN, *SILENCES[:2]]
    others = {phone for row in rows for phone in row} | set(known)
    return [*first, *sorted(others - set(first))]


class Tokens:
    """The numbers of phones.

    Args:
        tokens: as :func:`token_list` gives them; the place of a token is its number.

    Raises:
        UserError: a token twice, an empty one, or a list that does not begin with ``<pad> <unk>``.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        self.tokens = list(tokens)
        if self.tokens[:2] != [PAD, UNKNOWN]:
            raise UserError(f"tokens: expected a list that begins with {PAD}, {UNKNOWN}, found {self.tokens[:2]}")
        self._ids: dict[str, int] = {}
        for number, token in enumerate(self.tokens):
            if not isinstance(token, str) or not token.strip():
                raise UserError(f"tokens: expected phones, found {token!r} as number {number}; quote it in YAML")
            if self._ids.setdefault(token, number) != number:
                raise UserError(
                    f"tokens: '{token}' is there twice, as number {self._ids[token]} and {number}; remove one"
                )

    def __len__(self) -> int:
        return len(self.tokens)

    def ids(self, phones: Sequence[str]) -> np.ndarray:
        """Numbers [L] (int64) of phones.

        For a phone that is not among the tokens the same one with another stress or length stands in, else ``<unk>``;
        each is told once in a warning.
        """
        return np.array([self._id(phone) for phone in phones], dtype=np.int64)

    def _id(self, phone: str) -> int:
        if phone not in self._ids:
            number = self._stand_in(phone)
            logging.warning("the phone '%s' is not among the tokens; '%s' stands for it", phone, self.tokens[number])
            self._ids[phone] = number
        return self._ids[phone]

    def _stand_in(self, phone: str) -> int:
        def quality(token: str) -> str:
            return _LENGTH.sub("", _STRESS.sub("", token))

        plain = _STRESS.sub("", phone)
        # A lighter change first: only the stress; then length too. The unstressed token before the stressed ones.
        same_length = [n for n, token in enumerate(self.tokens) if n > 1 and _STRESS.sub("", token) == plain]
        same_quality = [n for n, token in enumerate(self.tokens) if n > 1 and quality(token) == quality(phone)]
        found = same_length or same_quality
        return min(found, key=lambda n: (not self._unstressed(n), n)) if found else self.tokens.index(UNKNOWN)

    def _unstressed(self, number: int) -> bool:
        token = self.tokens[number]
        return _STRESS.sub("", token) == token or token.endswith("0")
