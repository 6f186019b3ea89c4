"""`preklic feedback`: listens for bounces, complaints and mailed unsubscribes."""

import asyncio
from typing import Annotated

import typer

from preklic_producers.feedback.serving import serve
from preklic_shared import telemetry
from preklic_shared.cli import Code, ends_with, settings
from preklic_shared.sealing import SealingError

ends_with(SealingError, Code.USAGE, "preklic keys publish writes the file; PREKLIC_SEALING_KEYS names it")


def feedback(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on.")] = 2525,
    lmtp: Annotated[bool, typer.Option(help="Speak LMTP, for a local delivery agent.")] = False,
) -> None:
    """Take bounces, complaints and mailed unsubscribes until SIGTERM, and publish what follows from them.

    Put it behind your mail exchanger: route PREKLIC_MAIL_DOMAIN (or its return paths) to it. It takes mail for our own
    return paths, for `fbl@`, `bounce@`, `postmaster@` and `abuse@`; everything else is refused, nothing is answered.

    Example: `PREKLIC_OUTBOX=/var/lib/preklic/feedback.db preklic feedback --host 10.0.0.5 --port 2525`
    """
    telemetry.configure()
    asyncio.run(serve(settings(), host, port, lmtp=lmtp))
