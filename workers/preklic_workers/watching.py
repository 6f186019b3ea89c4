"""A listing that is read and drawn again until Ctrl-C."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NoReturn

import msgspec
from rich.live import Live

from preklic_shared.cli import table_of

EVERY: Final = 2.0  # seconds

Rows = Sequence[Mapping[str, Any]]


async def watch(read: Callable[[], Awaitable[Rows]], columns: Sequence[str], *, title: str, as_json: bool) -> NoReturn:
    """Show the rows every two seconds: as a table in its place, or as one line of JSON each time. Never returns."""
    if as_json:
        while True:
            sys.stdout.write(msgspec.json.encode(await read()).decode() + "\n")
            sys.stdout.flush()
            await asyncio.sleep(EVERY)
    with Live(auto_refresh=False) as live:
        while True:
            live.update(table_of(await read(), columns, title=title), refresh=True)
            await asyncio.sleep(EVERY)
