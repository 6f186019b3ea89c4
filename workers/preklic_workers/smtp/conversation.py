"""One session with a relay, driven command by command so that the phase of a loss is known (RFC 5321).

aiosmtplib's `sendmail` would hide that phase, and it is where certainty ends: before the body is written nothing was
sent; after it only a reply tells. A 4yz or 5yz reply is certain at any time. MAIL and RCPT go out together where the
relay offers PIPELINING (RFC 2920); DATA never does, for the gate stands before it.
"""

import re
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from preklic_workers.smtp.dialogue import Dialogue
from preklic_workers.smtp.replies import Phase, Reply

ENVELOPE_SECONDS: Final = 30.0  # MAIL and RCPT together: well inside the claim's lease of 60 s
DATA_SECONDS: Final = 120.0  # RFC 5321 4.5.3.2.5
BODY_SECONDS: Final = 600.0  # RFC 5321 4.5.3.2.6
WHOLE_SECONDS: Final = 650.0  # DATA and body together: inside the hand-over's 11 minutes

# 354 asks for the body; 421 says that the relay closes the session, whatever it answers (RFC 5321 3.8).
_GO_ON: Final = 354
CLOSING: Final = 421
_LOSSES: Final = (OSError, TimeoutError)
# One mailbox and nothing else: aiosmtplib's own reading takes the first of two.
_MAILBOX: Final = re.compile(r'[^\s<>"(),:;\\@\x00-\x20\x7f]+@[a-z0-9.-]+', re.ASCII)


class Accepted(msgspec.Struct, frozen=True):
    """The relay answered the body with 2yz: the mail is sent."""

    reply: Reply


class Rejected(msgspec.Struct, frozen=True):
    """The relay answered with 4yz or 5yz: the mail is certainly not sent."""

    reply: Reply
    phase: Phase


class Lost(msgspec.Struct, frozen=True):
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


class Connection:
    """An open SMTP session; carries one mail at a time. `extensions` are the relay's, in lower case."""

    def __init__(self, dialogue: Dialogue, extensions: Collection[str], patience: Patience) -> None:
        self._dialogue = dialogue
        self._patience = patience
        self._pipelining = "pipelining" in extensions
        self.smtputf8 = "smtputf8" in extensions
        """Whether the relay takes such addresses (RFC 6531)."""
        self.carried = 0
        self.held: dict[str, int] = {}
        """Conversations by provider, where the pool counts them."""
        self.pending = False
        """Whether a transaction was begun and not ended: it needs RSET before the next one."""

    @property
    def usable(self) -> bool:
        """Whether the session is still up."""
        return self._dialogue.open

    async def envelope(self, sender: str, recipient: str, *, utf8: bool = False) -> Rejected | Lost | None:
        """MAIL and RCPT; None when both were taken. Giving up after it is safe: nothing was sent.

        ValueError when either is not exactly one mailbox.
        """
        options = b" BODY=8BITMIME SMTPUTF8" if utf8 else b""
        lines = [
            (Phase.MAIL, b"MAIL FROM:" + mailbox(sender) + options + b"\r\n"),
            (Phase.RCPT, b"RCPT TO:" + mailbox(recipient) + b"\r\n"),
        ]
        if self.pending:
            lines.insert(0, (Phase.CONNECT, b"RSET\r\n"))
        self.pending = True
        refused: list[Rejected | Lost] = []
        self._dialogue.within(self._patience.envelope)
        try:
            for group in [lines] if self._pipelining else [[line] for line in lines]:
                await self._ask(group, refused)
                if refused:
                    break
        except _LOSSES:
            # A refusal that came before is certain all the same.
            refused.append(self._lost(Phase.MAIL))
        return refused[0] if refused else None

    async def data(self, stuffed: bytes) -> Accepted | Rejected | Lost:
        """DATA, and after 354 the body, which `stuff` made."""
        over = time.monotonic() + self._patience.whole
        self._dialogue.within(self._patience.data)
        try:
            self._dialogue.write(b"DATA\r\n")
            reply = await self._reply()
        except _LOSSES:
            return self._lost(Phase.DATA)
        if reply.final:
            return Rejected(reply, Phase.DATA)
        if reply.code != _GO_ON or not self._dialogue.open:
            return self._lost(Phase.DATA)
        return await self._body(self._dialogue, stuffed, min(self._patience.body, over - time.monotonic()))

    async def _body(self, dialogue: Dialogue, stuffed: bytes, seconds: float) -> Accepted | Rejected | Lost:
        dialogue.within(seconds)
        try:
            dialogue.write(stuffed)
            reply = await self._reply()
        except _LOSSES:
            return self._lost(Phase.BODY)
        if not reply.good and not reply.final:
            return self._lost(Phase.BODY)
        self.pending = False
        self.carried += 1
        return Accepted(reply) if reply.good else Rejected(reply, Phase.BODY)

    async def quit(self, timeout: float = 2.0) -> None:
        """Say good-bye and close; a relay that does not answer is left."""
        self._dialogue.within(timeout)
        try:
            self._dialogue.write(b"QUIT\r\n")
            await self._dialogue.reply()
        except _LOSSES:
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Close at once, without QUIT."""
        self._dialogue.close()

    async def _ask(self, lines: Sequence[tuple[Phase, bytes]], refused: list[Rejected | Lost]) -> None:
        """Send these commands at once and hear what is said to each; refusals are put into `refused` as they come.

        Each has the phase in which it leaves the session.
        """
        self._dialogue.write(b"".join([text for _, text in lines]), len(lines))
        for phase, _ in lines:
            reply = await self._reply()
            if not reply.good:
                certain = reply.final and phase is not Phase.CONNECT
                refused.append(Rejected(reply, phase) if certain else self._lost(phase))

    async def _reply(self) -> Reply:
        reply = await self._dialogue.reply()
        if reply.code == CLOSING:
            self.close()
        return reply

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
