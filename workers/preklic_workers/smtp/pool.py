"""A bounded pool of SMTP sessions with one relay: aiosmtplib connects, STARTTLS and AUTH are its own."""

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Self, cast

import aiosmtplib

from preklic_workers.smtp.conversation import CLOSING, Connection, Lost, Patience, Rejected
from preklic_workers.smtp.dialogue import Dialogue
from preklic_workers.smtp.replies import Phase
from preklic_workers.smtp.slots import Slots

WAIT_SECONDS: Final = 15.0  # with connecting and MAIL/RCPT still inside the claim's lease of 60 s


class RelayAway(Exception):
    """No session: `reason` is relay_away, relay_tls, relay_auth or relay_busy; or it is of a limit (`meter.TIERS`)."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a pool: sessions at once, mails for each session (and to some providers), seconds of idleness."""

    sessions: int = 32
    mails: int = 100
    mails_to: Mapping[str, int] = field(default_factory=dict)
    idle_seconds: float = 20.0
    connect_seconds: float = 10.0
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a relay is and how it is spoken to. `tls` "required" means STARTTLS with a verified certificate."""

    host: str
    port: int
    helo: str
    tls: Literal["required", "off"] = "required"
    username: str | None = None
    password: str | None = None


class RelayPool:
    """Sessions with one relay. Belongs to one event loop."""

    def __init__(self, target: Target, limits: Limits | None = None, tls_context: ssl.SSLContext | None = None) -> None:
        self._target = target
        self._limits = limits or Limits()
        self._context = verifying(tls_context) if target.tls == "required" else None
        self._slots = Slots(self._limits.sessions)
        self._idle: deque[tuple[Connection, float]] = deque()

    def session(self, provider: str = "") -> "Session":
        """A slot of the pool, to hold one conversation in (`async with`); RelayAway when none is free in time.

        `provider` is the recipient's.
        """
        return Session(self, provider)

    async def take_slot(self) -> None:
        """Wait for a free slot; RelayAway when none is free in time."""
        if not self._slots.take() and not await self._slots.acquire_within(WAIT_SECONDS):
            raise RelayAway("relay_busy")

    def free_slot(self, connection: Connection | None, provider: str) -> None:
        """The next mail may have the slot, and the session if it can still be used."""
        self._keep(connection, provider)
        self._slots.release()

    @property
    def sessions(self) -> int:
        """How many sessions are open, or may be at any moment: a slot that is taken counts as one."""
        return self._slots.taken + len(self._idle)

    def resize(self, most: int, until: float) -> None:
        """At most so many sessions from now on, and never more than the limits say; none begins after `until`."""
        self._slots.resize(min(most, self._limits.sessions), until)
        self._close_idle(most)

    def shrink(self, most: int) -> None:
        """No more than so many from now on."""
        self._slots.shrink(most)
        self._close_idle(most)

    def _close_idle(self, most: int) -> None:
        while self._idle and self.sessions > most:
            self._idle.popleft()[0].close()

    async def close(self) -> None:
        """QUIT every idle session."""
        idle, self._idle = self._idle, deque()
        await asyncio.gather(*(connection.quit() for connection, _ in idle))

    def take_idle(self) -> Connection | None:
        """The session used last, or None. Those that idled too long are closed on the way."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection, since = self._idle.pop()
            if connection.usable and now - since <= self._limits.idle_seconds:
                return connection
            connection.close()
        return None

    async def connect(self) -> Connection:
        """A new session, after STARTTLS, AUTH and EHLO; RelayAway where one of them fails."""
        target = self._target
        client = aiosmtplib.SMTP(
            hostname=target.host,
            port=target.port,
            local_hostname=target.helo,
            start_tls=target.tls == "required",
            tls_context=self._context,
            username=target.username,
            password=target.password,
            timeout=self._limits.connect_seconds,
        )
        try:
            async with asyncio.timeout(self._limits.connect_seconds):
                await client.connect()
                if client.is_ehlo_or_helo_needed:
                    await client.ehlo()
        except aiosmtplib.SMTPAuthenticationError:
            raise RelayAway("relay_auth") from None
        except (aiosmtplib.SMTPConnectError, aiosmtplib.SMTPResponseException, TimeoutError):
            raise RelayAway("relay_away") from None
        except ssl.SSLError:
            raise RelayAway("relay_tls") from None
        except (aiosmtplib.SMTPServerDisconnected, OSError):
            raise RelayAway("relay_away") from None
        except aiosmtplib.SMTPException:
            # What is left is a relay that does not offer what was asked of it: STARTTLS or AUTH.
            raise RelayAway("relay_tls" if target.tls == "required" else "relay_auth") from None
        return greeted(client, self._limits.patience)

    def _keep(self, connection: Connection | None, provider: str) -> None:
        if connection is None:
            return
        if not connection.usable or connection.carried >= self._limits.mails or self._enough(connection, provider):
            connection.close()
            return
        self._idle.append((connection, asyncio.get_running_loop().time()))

    def _enough(self, connection: Connection, provider: str) -> bool:
        """Whether it has held as many conversations for this provider as one session may."""
        if (most := self._limits.mails_to.get(provider)) is None:
            return False
        held = connection.held[provider] = connection.held.get(provider, 0) + 1
        return held >= most


def greeted(client: aiosmtplib.SMTP, patience: Patience) -> Connection:
    """The session that `client` has opened, taken over from it. RelayAway when it was lost in the meantime."""
    transport = client.protocol.transport if client.protocol is not None else None
    if transport is None:
        raise RelayAway("relay_away")
    return Connection(Dialogue(cast("asyncio.Transport", transport)), frozenset(client.esmtp_extensions), patience)


def verifying(context: ssl.SSLContext | None) -> ssl.SSLContext:
    """The context given, or the system's authorities: a relay that cannot prove its name gets no mail."""
    return context or ssl.create_default_context()


def lacks(connection: Connection, *, utf8: bool) -> str | None:
    """The extension that a mail needs and the relay does not offer."""
    return "smtputf8" if utf8 and not connection.smtputf8 else None


def closed_by_relay(answer: Connection | Rejected | Lost) -> bool:
    """Whether a session ended before its next mail began, by a lost connection or by 421."""
    if isinstance(answer, Rejected):
        return answer.phase is Phase.MAIL and answer.reply.code == CLOSING
    return isinstance(answer, Lost)


class Session:
    """One slot of a pool while a mail uses it."""

    def __init__(self, pool: RelayPool, provider: str) -> None:
        self._pool = pool
        self._provider = provider
        self.connection: Connection | None = None

    async def __aenter__(self) -> Self:
        await self._pool.take_slot()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self.connection is not None:
            # Something broke while it was in use.
            self.connection.close()
        self._pool.free_slot(self.connection, self._provider)

    async def begin(self, sender: str, recipient: str, *, utf8: bool = False) -> Connection | Rejected | Lost:
        """A connection that took MAIL and RCPT; `Lost(reason="smtputf8")` where the relay cannot take the address.

        A relay may close a session that it has served before at any time (RFC 5321 3.8): then, and only then, the
        envelope is tried once more on a new one. RelayAway when there is none.
        """
        reused = self._pool.take_idle()
        if reused is not None:
            answer = await self._envelope(reused, sender, recipient, utf8=utf8)
            if not closed_by_relay(answer) or (isinstance(answer, Lost) and reused.usable):
                return answer
            reused.close()
        return await self._envelope(await self._pool.connect(), sender, recipient, utf8=utf8)

    async def _envelope(
        self, connection: Connection, sender: str, recipient: str, *, utf8: bool
    ) -> Connection | Rejected | Lost:
        self.connection = connection
        if (lacking := lacks(connection, utf8=utf8)) is not None:
            return Lost(Phase.MAIL, body_sent=False, reason=lacking)
        answer = await connection.envelope(sender, recipient, utf8=utf8)
        return connection if answer is None else answer
