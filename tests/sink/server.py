"""The sink: listens, keeps the newest mails for its inbox, and holds the ledger and the mode."""

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import msgspec

from sink.conversation import Conversation
from sink.ledger import Ledger, now
from sink.modes import Mode, Moods


class Mail(msgspec.Struct):
    """A mail the sink kept for its inbox: `raw` is the body as sent, dots unstuffed."""

    number: int
    at: int
    sender: str
    to: list[str]
    job: str
    raw: bytes


@dataclass
class Features:
    """What EHLO offers."""

    smtputf8: bool = True
    pipelining: bool = True
    tls: ssl.SSLContext | None = None


class Sink:
    """The server: `await start()` binds a loopback port (`port`); `keep` mails stay in memory for the inbox."""

    def __init__(self, ledger: Ledger, *, features: Features | None = None, keep: int = 2000, seed: int = 1) -> None:
        self.ledger = ledger
        self.features = features or Features()
        self.moods = Moods(seed)
        # Seconds that every answer to a dot takes which the mode leaves as it is: so that hand-overs stay open a while.
        self.pace = 0.0
        self.mails: deque[Mail] = deque(maxlen=keep)
        self.taken = 0
        self.connections: set[Conversation] = set()
        self.connected = 0
        self.most_open = 0
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Conversation(self), "127.0.0.1", port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for conversation in list(self.connections):
            conversation.drop()
        if self._server is not None:
            await self._server.wait_closed()
        self.ledger.close()

    def set_mode(self, name: str = "accept", **fields: object) -> None:
        self.moods.set(msgspec.convert({"name": name, **fields}, Mode))

    def take(self, sender: str, to: list[str], job: str, raw: bytes) -> None:
        self.taken += 1
        if self.mails.maxlen:
            self.mails.append(Mail(self.taken, now(), sender, to, job, raw))


async def open_sink(path: Path, *, port: int = 0, fsync: bool = False, features: Features | None = None) -> Sink:
    """A sink in this process, listening; `await sink.stop()` ends it."""
    sink = Sink(Ledger(path, fsync=fsync), features=features)
    await sink.start(port)
    return sink
