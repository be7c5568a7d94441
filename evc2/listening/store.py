"""The answers of a listening test in an SQLite file; what was acknowledged survives a crash."""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from evc2.errors import UserError
from evc2.listening.definition import PRIVATE, Answer

FILE = "answers.sqlite"
MOST_LISTENERS = 100_000
"""An open server must not fill the disk; no test has as many."""

_TABLES = """
CREATE TABLE IF NOT EXISTS test (id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS listeners (
    listener TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, token TEXT NOT NULL, consented REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answers (
    listener TEXT NOT NULL REFERENCES listeners (listener), item TEXT NOT NULL, value INTEGER NOT NULL,
    plays INTEGER NOT NULL, seconds REAL NOT NULL, changes INTEGER NOT NULL, at REAL NOT NULL,
    UNIQUE (listener, item)
);
"""
_SAVE = """
INSERT INTO answers (listener, item, value, plays, seconds, changes, at) VALUES (?, ?, ?, ?, ?, 0, ?)
ON CONFLICT (listener, item) DO UPDATE SET
    value = excluded.value, plays = plays + excluded.plays, seconds = excluded.seconds, changes = changes + 1,
    at = excluded.at
"""


class TokenError(Exception):
    """The listener's id is in use by somebody else."""


class Store:
    """Reads and writes the answers; may be used by several threads.

    Args:
        path: the SQLite file, made if missing.
        test: id of the test; a file of another test is a UserError.
    """

    def __init__(self, path: str | os.PathLike[str], test: str) -> None:
        self._lock, self._closed = threading.Lock(), False
        path = Path(path)
        try:
            # The listeners' answers are nobody else's business.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
            # WAL: readers do not wait for writers. FULL: a commit is on disk before it is acknowledged.
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(_TABLES)
            with self._transaction():
                found = self._db.execute("SELECT id FROM test").fetchone()
                if found is None:
                    self._db.execute("INSERT INTO test VALUES (?)", (test,))
        except sqlite3.DatabaseError as error:
            raise UserError(f"{path}: cannot be used for the answers: {error}") from None
        if found is not None and found[0] != test:
            self._db.close()
            raise UserError(f"{path}: holds answers of test {found[0]}, expected {test}; move the file away")

    @contextmanager
    def _used(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._closed:  # a request that comes while the server stops
                raise ConnectionAbortedError("the store is closed")
            yield self._db

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._used():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def enter(self, listener: str, token: str | None) -> tuple[int, str]:
        """Register a listener, or recognise one by the token given out before.

        Returns:
            The listener's number (0 for the first) and token.

        Raises:
            TokenError: the listener is known, but not with this token.
            UserError: there are MOST_LISTENERS already.
        """
        with self._transaction() as db:
            row = db.execute("SELECT number, token FROM listeners WHERE listener = ?", (listener,)).fetchone()
            if row is None:
                number = db.execute("SELECT COUNT(*) FROM listeners").fetchone()[0]
                if number >= MOST_LISTENERS:
                    raise UserError("this test takes no more listeners")
                row = number, secrets.token_urlsafe(18)
                db.execute("INSERT INTO listeners VALUES (?, ?, ?, ?)", (listener, *row, time.time()))
            elif not secrets.compare_digest(row[1].encode(), (token or "").encode()):
                raise TokenError
        return row

    def number(self, listener: str, token: str | None) -> int:
        """The number of a registered listener; TokenError for an unknown one or another token."""
        with self._used() as db:
            row = db.execute("SELECT number, token FROM listeners WHERE listener = ?", (listener,)).fetchone()
        if row is None or not secrets.compare_digest(row[1].encode(), (token or "").encode()):
            raise TokenError
        return row[0]

    def save(self, answer: Answer) -> None:
        """Store an answer in a transaction of its own; an earlier one is replaced, and the change counted."""
        row = answer.listener, answer.item, answer.value, answer.plays, answer.seconds, time.time()
        with self._transaction() as db:
            db.execute(_SAVE, row)

    def answers_of(self, listener: str) -> list[Answer]:
        """A listener's answers so far."""
        with self._used() as db:
            rows = db.execute(_SELECT + " WHERE listener = ?", (listener,)).fetchall()
        return [Answer(*row) for row in rows]

    def close(self) -> None:
        """Close the file; nothing is pending, as every answer was committed."""
        with self._lock:
            self._closed = True
            self._db.close()


_SELECT = "SELECT listener, item, value, plays, seconds, changes FROM answers"


def store_path(folder: str | os.PathLike[str]) -> Path:
    """Where the answers of the test in a folder are."""
    return Path(folder) / PRIVATE / FILE


def read_store(path: str | os.PathLike[str], test: str) -> tuple[dict[str, int], list[Answer]]:
    """Listener -> number, and all answers, also while a server writes.

    Raises:
        UserError: not such a file, or of another test.
    """
    try:
        with closing(sqlite3.connect(Path(path).absolute().as_uri() + "?mode=ro", uri=True, timeout=10)) as db:
            db.execute("BEGIN")
            found = db.execute("SELECT id FROM test").fetchone()
            numbers = dict(db.execute("SELECT listener, number FROM listeners"))
            answers = [Answer(*row) for row in db.execute(_SELECT + " ORDER BY listener, item")]
    except sqlite3.DatabaseError as error:
        raise UserError(f"{path}: expected the answers of a listening test: {error}") from None
    if found is None or found[0] != test:
        raise UserError(f"{path}: holds answers of test {found and found[0]}, expected {test}")
    return numbers, answers
