"""A small web server for one listening test: its pages, its recordings, and an API that stores answers.

    POST /api/session  {"listener", "consent": true, "token"?}             -> {"number", "token", "answers"}
    POST /api/answer   {"listener", "token", "item", "value", "plays", "seconds"} -> {"saved": true}

Errors are {"error": "..."} with status 400 (malformed), 403 (no consent, or another token), 404, 405, 409 (the id is in
use), 411, 413 or 415. Only files named in the test are served; addresses of visitors are not logged.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import socket
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from evc2.errors import UserError
from evc2.listening.definition import Definition, check_listener
from evc2.listening.page import PAGE_FILES, SERVED
from evc2.listening.store import Store, TokenError, store_path

MOST_BYTES = 64 * 1024
DRAINED = 1024 * 1024
"""A longer body is read up to here, so that the client sees the answer and not a broken connection."""

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".wav": "audio/wav",
}
SECURITY = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; media-src 'self'; "
    "img-src data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Failure(Exception):
    """An answer other than 200.

    Args:
        status: of HTTP.
        message: for the listener.
    """

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class Site:
    """What the server knows: the test, its files, its store. UserError where the folder is no test."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self.test = Definition.load(folder)
        names = ["index.html", "test.json", *PAGE_FILES]
        names += [audio for item in self.test.items.values() for audio in item["audio"]]
        # A list of what is served, not of what is refused: nothing else can be reached, whatever a path looks like.
        self.files = {f"/{name}": self.folder / name for name in names}
        missing = [str(path) for path in self.files.values() if not path.is_file()]
        if missing:
            raise UserError(f"{missing[0]}: no such file, and {len(missing) - 1} more; make the test anew")
        page = self.files["/index.html"].read_text(encoding="utf-8")
        self.index = page.replace(SERVED, SERVED.replace("false", "true")).encode()
        store_path(folder).parent.mkdir(mode=0o700, exist_ok=True)
        self.store = Store(store_path(folder), self.test.id)

    def file(self, path: str) -> tuple[bytes, str]:
        """Content and type of a path; Failure for any that is not served."""
        path = "/index.html" if path == "/" else path
        if path not in self.files:
            raise Failure(HTTPStatus.NOT_FOUND, "no such page")
        content = self.index if path == "/index.html" else self.files[path].read_bytes()
        return content, TYPES[Path(path).suffix]

    def call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The API; Failure or UserError for what is wrong with a request."""
        token = body.get("token")
        if token is not None and (not isinstance(token, str) or len(token) > 64):
            raise UserError("token: expected a text of at most 64 characters")
        listener = check_listener(body.get("listener"))
        try:
            if path == "/api/session":
                return self._session(listener, token, body)
            return self._answer(listener, token, body)
        except TokenError:
            message = "this id is in use in another browser; please go on there, or choose another id"
            raise Failure(HTTPStatus.CONFLICT, message) from None

    def _session(self, listener: str, token: str | None, body: dict[str, Any]) -> dict[str, Any]:
        if body.get("consent") is not True:
            raise Failure(HTTPStatus.FORBIDDEN, "consent: expected true; nobody takes part without having agreed")
        number, token = self.store.enter(listener, token)
        fields = ("value", "plays", "seconds", "changes")
        answers = {a.item: {name: getattr(a, name) for name in fields} for a in self.store.answers_of(listener)}
        return {"number": number, "token": token, "answers": answers}

    def _answer(self, listener: str, token: str | None, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.test.answer(body)
        if answer.item not in self.test.share(self.store.number(listener, token)):
            raise UserError(f"item: {answer.item} is not among the items of this listener")
        self.store.save(answer)
        return {"saved": True}


class Handler(BaseHTTPRequestHandler):
    """One connection; ``site`` is set by make_server."""

    site: Site
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "evc2", ""
    timeout = 30  # seconds that a silent client may hold a thread
    disable_nagle_algorithm = True  # head and body are two writes; the second would wait for an acknowledgement

    def do_GET(self) -> None:
        """Serve a file, or the part of it that a Range header asks for (Safari plays no audio without)."""
        try:
            content, kind = self.site.file(unquote(urlsplit(self.path).path))
        except Failure as failure:
            self._fail(failure)
            return
        caching = {"Cache-Control": "private, max-age=3600" if kind == "audio/wav" else "no-cache"}
        span = re.fullmatch(r"bytes=(\d{1,12})-(\d{0,12})", self.headers.get("Range", ""))
        if span is None:
            self._send(HTTPStatus.OK, content, kind, caching | {"Accept-Ranges": "bytes"})
            return
        first, last = int(span[1]), min(int(span[2] or len(content)), len(content) - 1)
        if first > last:
            where = {"Content-Range": f"bytes */{len(content)}"}
            self._send(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", kind, where)
            return
        where = {"Content-Range": f"bytes {first}-{last}/{len(content)}", "Accept-Ranges": "bytes"}
        self._send(HTTPStatus.PARTIAL_CONTENT, content[first : last + 1], kind, caching | where)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """The API."""
        try:
            path = urlsplit(self.path).path
            if path not in ("/api/session", "/api/answer"):
                raise Failure(HTTPStatus.NOT_FOUND, "no such page")
            self._json(HTTPStatus.OK, self.site.call(path, self._body()))
        except UserError as error:
            self._fail(Failure(HTTPStatus.BAD_REQUEST, str(error)))
        except Failure as failure:
            self._fail(failure)
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception:
            logging.exception("request failed")
            self._fail(Failure(HTTPStatus.INTERNAL_SERVER_ERROR, "the server failed to store this; please try again"))

    def _refuse_method(self) -> None:
        self._fail(Failure(HTTPStatus.METHOD_NOT_ALLOWED, "expected GET or POST"))

    do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _refuse_method

    def _body(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "")
        if self.headers.get("Transfer-Encoding") or not re.fullmatch(r"\d{1,12}", length):
            raise Failure(HTTPStatus.LENGTH_REQUIRED, "expected a body with Content-Length")
        if int(length) > MOST_BYTES:
            self.rfile.read(min(int(length), DRAINED))
            raise Failure(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"expected at most {MOST_BYTES} bytes, found {length}")
        data = self.rfile.read(int(length))
        # A form of a foreign site cannot send this type without asking first, and asking is refused.
        if self.headers.get_content_type() != "application/json":
            raise Failure(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected Content-Type: application/json")
        try:
            body = json.loads(data)
        except (ValueError, RecursionError):
            raise UserError("expected JSON") from None
        if not isinstance(body, dict):
            raise UserError(f"expected a JSON object, found {type(body).__name__}")
        return body

    def _fail(self, failure: Failure) -> None:
        self.close_connection = True  # whatever is left of the request is not read as the next one
        self._json(failure.status, {"error": failure.message})

    def _json(self, status: HTTPStatus, value: dict[str, Any]) -> None:
        content = json.dumps(value).encode()
        self._send(status, content, TYPES[".json"], {"Cache-Control": "no-store"})

    def _send(self, status: HTTPStatus, content: bytes, kind: str, headers: dict[str, str]) -> None:
        try:
            self.send_response(status)
            more = {"Content-Type": kind, "Content-Length": str(len(content))}
            for name, value in (SECURITY | more | headers).items():
                self.send_header(name, value)
            if self.close_connection:
                self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)
        except (ConnectionError, TimeoutError):
            self.close_connection = True  # the listener went away

    def log_message(self, format: str, *args: Any) -> None:
        """Log requests at the level of debugging, without the visitor's address."""
        logging.debug(format, *args)


class Server(ThreadingHTTPServer):
    """A thread a connection; threads end with the process."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A listener who closes the page in the middle of a request is no news; anything else is."""
        if isinstance(sys.exception(), ConnectionError):
            logging.debug("a connection ended early")
        else:
            logging.exception("a request could not be handled")


def make_server(site: Site, host: str = "127.0.0.1", port: int = 8000) -> Server:
    """Listen on a port (0: any that is free); UserError where that is impossible."""
    if not 0 <= port <= 65535:
        raise UserError(f"--port: expected 0 to 65535, found {port}")
    kind = type("SiteHandler", (Handler,), {"site": site})
    try:
        return Server((host, port), kind)
    except socket.gaierror as error:
        raise UserError(f"--host: '{host}' is no address of this machine: {error.strerror}") from None
    except OSError as error:
        reason = {
            errno.EADDRINUSE: "is in use (by a server that still runs?); choose another --port, or 0 for a free one",
            errno.EACCES: "needs rights that you do not have; choose one above 1023",
            errno.EADDRNOTAVAIL: "cannot be had: the host is no address of this machine",
        }.get(error.errno, f"cannot be had: {error.strerror}")
        raise UserError(f"port {port} of {host} {reason}") from None
