"""`python -m sink --ledger FILE --ready FILE`: runs until SIGTERM; writes its ports as JSON to the ready file."""

import argparse
import asyncio
import json
import signal
from pathlib import Path

import uvloop

from sink.certificate import make_certificate, server_context
from sink.control import Control
from sink.ledger import Ledger
from sink.server import Features, Sink


async def serve(options: argparse.Namespace) -> None:
    tls = make_certificate(options.ledger.parent) if options.tls else None
    features = Features(
        smtputf8=not options.no_smtputf8,
        pipelining=not options.no_pipelining,
        tls=server_context(tls) if tls else None,
    )
    sink = Sink(Ledger(options.ledger, fsync=options.fsync), features=features, keep=options.keep)
    await sink.start(options.port)
    control = Control(sink)
    await control.start(options.http_port)
    ready = {"smtp": sink.port, "http": control.port, "certificate": str(tls) if tls else None}
    partial = options.ready.with_suffix(".partial")
    partial.write_text(json.dumps(ready))
    partial.rename(options.ready)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await stopped.wait()
    await control.stop()
    await sink.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="sink", description=__doc__)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--ready", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--http-port", type=int, default=0)
    parser.add_argument("--keep", type=int, default=2000, help="mails kept in memory for the inbox")
    parser.add_argument("--fsync", action="store_true", help="fsync each ledger line before answering")
    parser.add_argument("--tls", action="store_true", help="offer STARTTLS with a fresh certificate")
    parser.add_argument("--no-smtputf8", action="store_true")
    parser.add_argument("--no-pipelining", action="store_true")
    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
