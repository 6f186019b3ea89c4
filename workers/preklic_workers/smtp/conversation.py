"""One session with a relay, driven command by command so that the phase of a loss is known (RFC 5321).

aiosmtplib's `sendmail` would hide that phase, and it is where certainty ends: before the body is written nothing was
sent; after it only a reply tells. A 4yz or 5yz reply is certain at any time.
"""

import asyncio
import re
import time
from dataclasses import dataclass
from typing import Final

import aiosmtplib
from aiosmtplib.protocol import SMTPProtocol

from preklic_workers.smtp.replies import Phase, Reply, read

ENVELOPE_SECONDS: Final = 30.0  # MAIL and RCPT together: well inside the claim's lease of 60 s
DATA_SECONDS: Final = 120.0  # RFC 5321 4.5.3.2.5
BODY_SECONDS: Final = 600.0  # RFC 5321 4.5.3.2.6
WHOLE_SECONDS: Final = 650.0  # DATA and body together: inside the hand-over's 11 minutes

_LOSSES: Final = (aiosmtplib.SMTPException, OSError, TimeoutError)
# One mailbox and nothing else: aiosmtplib's own reading takes the first of two.
_MAILBOX: Final = re.compile(r'[^\s<>"(),:;\\@\x00-\x20\x7f]+@[a-z0-9.-]+', re.ASCII)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The relay answered the body with 2yz: the mail is sent."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Rejected:
    """The relay answered with 4yz or 5yz: the mail is certainly not sent."""

    reply: Reply
    phase: Phase


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer that says anything. With `body_sent` the outcome is in doubt, else nothing was sent."""

    phase: Phase
    body_sent: bool
    reason: str = "lost"


@dataclass(frozen=True, slots=True)
class Patience:
    """Deadlines in seconds: MAIL and RCPT together, DATA to its answer, body to its answer, DATA and body together."""

    envelope: float = ENVELOPE_SECONDS
    data: float = DATA_SECONDS
    body: float = BODY_SECONDS
    whole: float = WHOLE_SECONDS


def deadline(seconds: float) -> asyncio.Timeout:
    """Ends a whole phase, however slowly its bytes come (a tar-pit sends one a second)."""
    return asyncio.timeout(seconds)


class Connection:
    """An open SMTP session; carries one mail at a time."""

    def __init__(self, client: aiosmtplib.SMTP, patience: Patience) -> None:
        self._client = client
        self._patience = patience
        self.carried = 0
        self.pending = False
        """Whether a transaction was begun and not ended: it needs RSET before the next one."""

    @property
    def usable(self) -> bool:
        """Whether the session is still up."""
        return self._client.is_connected

    @property
    def smtputf8(self) -> bool:
        """Whether the relay offers SMTPUTF8 (RFC 6531)."""
        return self._client.supports_extension("smtputf8")

    async def envelope(self, sender: str, recipient: str, *, utf8: bool = False) -> Rejected | Lost | None:
        """MAIL and RCPT; None when both were taken. Giving up after it is safe: nothing was sent.

        ValueError when either is not exactly one mailbox.
        """
        path, target = mailbox(sender), mailbox(recipient)
        phase = Phase.MAIL
        try:
            async with deadline(self._patience.envelope):
                if self.pending and not (await self._command(b"RSET")).good:
                    return self._lost(phase)
                self.pending = True
                options = (b"BODY=8BITMIME", b"SMTPUTF8") if utf8 else ()
                reply = await self._command(b"MAIL", b"FROM:" + path, *options)
                if reply.good:
                    phase = Phase.RCPT
                    reply = await self._command(b"RCPT", b"TO:" + target)
        except _LOSSES:
            return self._lost(phase)
        if reply.good:
            return None
        return Rejected(reply, phase) if reply.final else self._lost(phase)

    async def data(self, stuffed: bytes) -> Accepted | Rejected | Lost:
        """DATA, and after 354 the body, which `stuff` made."""
        over = time.monotonic() + self._patience.whole
        try:
            async with deadline(self._patience.data):
                reply = await self._command(b"DATA")
        except _LOSSES:
            return self._lost(Phase.DATA)
        if reply.final:
            return Rejected(reply, Phase.DATA)
        protocol = self._client.protocol
        if reply.code != aiosmtplib.SMTPStatus.start_input or protocol is None or not protocol.is_connected:
            return self._lost(Phase.DATA)
        return await self._body(protocol, stuffed, min(self._patience.body, over - time.monotonic()))

    async def _body(self, protocol: SMTPProtocol, stuffed: bytes, seconds: float) -> Accepted | Rejected | Lost:
        try:
            async with deadline(seconds):
                # No await stands between the two, so the reply cannot arrive before it is expected.
                protocol.write(stuffed)
                answer = await protocol.read_response()
        except _LOSSES:
            return self._lost(Phase.BODY)
        reply = read(answer.code, answer.message)
        if not reply.good and not reply.final:
            return self._lost(Phase.BODY)
        self.pending = False
        self.carried += 1
        if reply.code == aiosmtplib.SMTPStatus.domain_unavailable:
            self.close()
        return Accepted(reply) if reply.good else Rejected(reply, Phase.BODY)

    async def quit(self, timeout: float = 2.0) -> None:
        """Say good-bye and close; a relay that does not answer is left."""
        try:
            async with deadline(timeout):
                await self._client.quit()
        except _LOSSES:
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Close at once, without QUIT."""
        self._client.close()

    async def _command(self, *words: bytes) -> Reply:
        # `timeout=None`: the deadline around the whole phase is ours, and a wait_for per command costs 20 us.
        answer = await self._client.execute_command(*words, timeout=None)
        return read(answer.code, answer.message)

    def _lost(self, phase: Phase) -> Lost:
        self.close()
        return Lost(phase, body_sent=phase is Phase.BODY)


def mailbox(address: str) -> bytes:
    """`<address>` for MAIL and RCPT; ValueError unless it is exactly one mailbox with an A-label domain."""
    if not _MAILBOX.fullmatch(address):
        raise ValueError("the envelope takes exactly one mailbox")
    return b"<" + address.encode() + b">"


def stuff(message: bytes) -> bytes:
    """The message as it goes over the wire: dots doubled at line starts, the final dot behind (RFC 5321 4.5.2)."""
    stuffed = message.replace(b"\r\n.", b"\r\n..")
    return (b"." if stuffed.startswith(b".") else b"") + stuffed + b".\r\n"
