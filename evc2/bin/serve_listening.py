"""Serve a listening test and store the answers."""

import logging
import signal
from collections.abc import Sequence

from evc2.cli import ArgumentParser, run, setup_logging


def get_parser() -> ArgumentParser:
    """Options of the command."""
    parser = ArgumentParser(
        description="Serve the pages of a listening test and store every answer in DIR/private/answers.sqlite. Ctrl-C "
        "stops it; started again, it goes on where it was."
    )
    parser.add_argument("--test", required=True, metavar="DIR", help="folder made by make_listening_test")
    parser.add_argument("--host", default="127.0.0.1", help="address; 0.0.0.0 for all of this machine")
    parser.add_argument("--port", type=int, default=8000, help="port; 0 for any that is free")
    parser.add_argument("--verbose", type=int, default=1, help="0 warnings, 1 progress, 2 every request")
    return parser


def main(cmd: Sequence[str] | None = None) -> None:
    """Run the command until it is stopped."""
    args = get_parser().parse_args(cmd)
    setup_logging(args.verbose)
    from evc2.listening.server import Site, make_server

    site = Site(args.test)
    try:
        server = make_server(site, args.host, args.port)
        if not args.host.startswith("127.") and args.host != "localhost":
            logging.warning("reachable from other machines, and unencrypted: put a web server with TLS before it")
        host, port = server.server_address[:2]
        # A shell starts background jobs with SIGINT ignored, and Python then leaves it so.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            print(f"listening test {site.test.id}: http://{host}:{port}/  (Ctrl-C stops)", flush=True)
            server.serve_forever()
        except KeyboardInterrupt:
            print("stopped; all answers are stored")
        finally:
            server.server_close()
    finally:
        site.store.close()


if __name__ == "__main__":
    run(main)
