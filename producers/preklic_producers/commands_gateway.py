"""`preklic gateway`: serves the public pages and the intake API."""

from typing import Annotated

import typer

from preklic_producers.gateway.server import serve
from preklic_shared import telemetry
from preklic_shared.cli import Code, ends_with, settings
from preklic_shared.sealing import SealingError

ends_with(SealingError, Code.USAGE, "preklic keys publish writes the file; PREKLIC_SEALING_KEYS names it")


def gateway(
    *,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 8080,
) -> None:
    """Serve pixel, clicks, one-click, preferences and the intake API until SIGTERM.

    Example: `PREKLIC_OUTBOX=/var/lib/preklic/outbox preklic gateway --port 8080`
    """
    telemetry.configure()
    serve(settings(), host, port)
