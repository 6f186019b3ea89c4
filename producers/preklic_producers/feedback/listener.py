"""The feedback listener: an SMTP or LMTP server for what comes back about our mails (aiosmtpd drives the protocol).

It takes mail for our return paths alone, relays nothing, answers no mail, and says 250 only when the broker or a disk
has the jobs. It belongs behind the company's mail exchanger, which ends TLS and knows about spam.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

from preklic_producers.courier import Unavailable
from preklic_producers.drafts import Drafter
from preklic_producers.feedback.aside import set_aside
from preklic_producers.feedback.heard import Aside, Heard, Ignored
from preklic_producers.feedback.judging import SOURCE, Door, door, judge
from preklic_producers.feedback.ours import Ours
from preklic_producers.feedback.reading import LIMIT
from preklic_producers.feedback.reports import jobs_of
from preklic_producers.fields import Rejected
from preklic_producers.gateway.delivery import Delivery
from preklic_producers.outbox import Parcel
from preklic_shared import telemetry
from preklic_shared.metrics import FEEDBACK

CONNECTIONS: Final = 200
IDLE_SECONDS: Final = 60
WHOLE_SECONDS: Final = 300.0  # a conversation at one octet a second ends here (attack 40)

log = telemetry.logger(__name__)


@dataclass
class Taker:
    """aiosmtpd's handler. Parsing runs in a thread: it is bounded, not instant.

    Without slots: aiosmtpd asks for all of its members, and Python before 3.11.3 breaks one of a dataclass with slots.
    """

    ours: Ours
    drafts: Drafter
    delivery: Delivery

    async def handle_RCPT(  # noqa: N802 -- aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """One recipient for each mail, and only one of ours."""
        if envelope.rcpt_tos:
            return "452 4.5.3 One recipient for each mail"
        if door(address, self.ours) is None:
            FEEDBACK.labels("refused").inc()
            return "550 5.1.1 No such address here"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 -- likewise
        """The mail is judged and its jobs are kept; 451 when nothing keeps them, and the sender tries again."""
        at = door(envelope.rcpt_tos[0], self.ours)
        raw = envelope.content if isinstance(envelope.content, bytes) else b""
        try:
            said = await asyncio.to_thread(judge, raw, at or Door(), self.ours)
            for parcel in parcels_of(said, self.drafts):
                await self.delivery.hand_over(parcel)
        except (Unavailable, Rejected) as error:
            log.error("a report was not taken", error=type(error).__name__)  # noqa: TRY400 -- it says all there is
            FEEDBACK.labels("away").inc()
            return "451 4.3.0 Not now: try again later"
        FEEDBACK.labels(verdict(said)).inc()
        return "250 2.6.0 Taken"


def parcels_of(said: Heard, drafts: Drafter) -> list[Parcel]:
    """The jobs that follow; of what was not understood the sealed dead letter."""
    if isinstance(said, Ignored):
        return []
    return [set_aside(drafts, SOURCE, said.reason, said.raw)] if isinstance(said, Aside) else jobs_of(said, drafts)


def verdict(said: Heard) -> str:
    """The label of a mail in the metric."""
    return "ignored" if isinstance(said, Ignored) else "set_aside" if isinstance(said, Aside) else said.word


@dataclass(slots=True)
class Listener:
    """Serves until `close`. `lmtp`: speak LMTP (RFC 2033), for a local delivery agent."""

    taker: Taker
    hostname: str
    lmtp: bool = False
    _server: asyncio.Server | None = field(default=None, init=False)
    _open: int = field(default=0, init=False)

    async def start(self, host: str, port: int) -> int:
        """Listen; the port (0 asks the system for one). OSError when it is taken."""
        self._server = await asyncio.get_running_loop().create_server(self._conversation, host, port)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Take no more connections."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _conversation(self) -> asyncio.Protocol:
        if self._open >= CONNECTIONS:
            return _Full()
        kind = _Lmtp if self.lmtp else _Smtp
        made = kind(
            self.taker, hostname=self.hostname, ident="Preklic", data_size_limit=LIMIT, timeout=IDLE_SECONDS,
            enable_SMTPUTF8=True,
        )  # fmt: skip
        made.watch = self._counted
        return made

    def _counted(self, change: int) -> None:
        self._open += change


class _Watched(SMTP):
    """A conversation that ends after WHOLE_SECONDS, and is counted while it lasts."""

    watch: Callable[[int], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, and set the end."""
        if self.watch is not None:
            self.watch(1)
        self._end = asyncio.get_running_loop().call_later(WHOLE_SECONDS, transport.close)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Over."""
        if self.watch is not None:
            self.watch(-1)
        self._end.cancel()
        super().connection_lost(error)


class _Smtp(_Watched):
    pass


class _Lmtp(_Watched, LMTP):
    pass


class _Full(asyncio.Protocol):
    """Too many at once: 421, and good-bye."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say so and close."""
        assert isinstance(transport, asyncio.Transport)
        transport.write(b"421 4.3.2 Too many connections\r\n")
        transport.close()
