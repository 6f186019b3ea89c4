"""One SMTP conversation: an asyncio protocol, strict about CRLF, that notes each phase before it answers."""

import asyncio
import hashlib
import re
import ssl
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from sink.ledger import Entry, Phase, now
from sink.modes import ACCEPT

if TYPE_CHECKING:
    from sink.server import Sink

MESSAGE_ID = re.compile(rb"^message-id:[ \t]*(?:\r\n[ \t]+)?<([^@>\r\n]+)@", re.IGNORECASE | re.MULTILINE)
PATH = re.compile(rb"^(?:FROM|TO):[ ]?<([^>]*)>(.*)$", re.IGNORECASE | re.DOTALL)
END = b"\r\n.\r\n"
MAX_LINE = 4096
TEMPORARY, CLOSING = 4, 421


class Conversation(asyncio.Protocol):
    """One connection. While an answer is held back (`_waiting`) nothing further is read from the buffer."""

    def __init__(self, sink: "Sink") -> None:
        self.sink = sink
        self.number = 0
        self._buffer = bytearray()
        self._searched = 0
        self._in_data = False
        self._waiting = False
        self._reading = False
        self._deaf = False
        self._transport: asyncio.Transport | None = None
        self._forget_mail()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        first = self._transport is None
        self._transport = transport  # type: ignore[assignment]
        if first:
            self.sink.connected += 1
            self.number = self.sink.connected
            self.sink.connections.add(self)
            self.sink.most_open = max(self.sink.most_open, len(self.sink.connections))
            self._say("220 sink.preklic.test ESMTP")

    def connection_lost(self, _exc: Exception | None) -> None:
        self.sink.connections.discard(self)
        if self._to:
            self._note("lost", then=self._forget_mail)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._read()

    def eof_received(self) -> None:
        return None

    def drop(self) -> None:
        """Close without a word."""
        if self._transport is not None:
            self._transport.abort()

    def _read(self) -> None:
        """Take one command or body after the other from the buffer, until it is empty or an answer is held back."""
        if self._reading:
            return
        self._reading = True
        while not self._waiting and not self._deaf and (self._read_body() if self._in_data else self._read_line()):
            pass
        self._reading = False

    def _read_line(self) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > MAX_LINE:
                self._say("500 5.5.2 line too long", close=True)
            return False
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        self._command(line)
        return True

    def _command(self, line: bytes) -> None:
        verb, _, rest = line.partition(b" ")
        handler = self._COMMANDS.get(verb.upper())
        if handler is None:
            self._say("500 5.5.1 unknown command")
        else:
            handler(self, rest)

    def _ehlo(self, _rest: bytes) -> None:
        self._forget_mail()
        offered = self.sink.features
        lines = ["sink.preklic.test", "8BITMIME", "SIZE 26214400", "ENHANCEDSTATUSCODES", "AUTH PLAIN"]
        lines += ["PIPELINING"] * offered.pipelining + ["SMTPUTF8"] * offered.smtputf8
        lines += ["STARTTLS"] * (offered.tls is not None and not self._encrypted())
        self._say("\r\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"]))

    def _helo(self, _rest: bytes) -> None:
        self._forget_mail()
        self._say("250 sink.preklic.test")

    def _mail(self, rest: bytes) -> None:
        self._forget_mail()
        found = PATH.match(rest)
        if found is None:
            return self._say("501 5.5.4 MAIL FROM:<address>")
        if not found[1].isascii() and b"SMTPUTF8" not in found[2].upper():
            return self._say("553 5.6.7 SMTPUTF8 required")
        if b"SMTPUTF8" in found[2].upper() and not self.sink.features.smtputf8:
            return self._say("555 5.5.4 SMTPUTF8 not offered")
        if self.sink.moods.mode.name == "refuse_mail" and self.sink.moods.for_mail("").name == "refuse_mail":
            return self._refuse(self.sink.moods.mode.code or 451)
        self._sender = found[1].decode("utf-8", "replace")
        self._opened = True
        return self._say("250 2.1.0 ok")

    def _rcpt(self, rest: bytes) -> None:
        found = PATH.match(rest)
        if not self._opened or found is None:
            return self._say("503 5.5.1 MAIL first" if found else "501 5.5.4 RCPT TO:<address>")
        recipient = found[1].decode("utf-8", "replace")
        if not self._to and self.sink.moods.mode is not ACCEPT:
            self._mode = self.sink.moods.for_mail(recipient)
        if self._mode.name == "refuse_rcpt":
            return self._refuse(self._mode.code or 550, recipient)
        if self._mode.name == "greylist" and self.sink.moods.greylisted(recipient):
            return self._refuse(451, recipient)
        self._to.append(recipient)
        return self._note("rcpt", then=lambda: self._say("250 2.1.5 ok"))

    def _data(self, _rest: bytes) -> None:
        if not self._to:
            return self._say("503 5.5.1 RCPT first")
        self._in_data = True
        self._searched = 0
        return self._note("data", then=lambda: self._say("354 go on"))

    def _rset(self, _rest: bytes) -> None:
        self._forget_mail()
        self._say("250 2.0.0 ok")

    def _noop(self, _rest: bytes) -> None:
        self._say("250 2.0.0 ok")

    def _auth(self, _rest: bytes) -> None:
        self._say("235 2.7.0 ok")

    def _quit(self, _rest: bytes) -> None:
        self._forget_mail()
        self._say("221 2.0.0 bye", close=True)

    def _starttls(self, _rest: bytes) -> None:
        if self.sink.features.tls is None or self._encrypted():
            return self._say("503 5.5.1 no TLS here")
        # What was pipelined behind STARTTLS in the clear is thrown away (CVE-2011-0411).
        self._buffer.clear()
        self._say("220 2.0.0 go on")
        self._waiting = True
        self._handshake = asyncio.ensure_future(self._upgrade())
        return None

    async def _upgrade(self) -> None:
        assert self._transport is not None
        assert self.sink.features.tls is not None
        loop = asyncio.get_running_loop()
        try:
            self._transport = await loop.start_tls(self._transport, self, self.sink.features.tls, server_side=True)
        except (OSError, ssl.SSLError):
            return
        self._waiting = False
        self._read()

    def _read_body(self) -> bool:
        """Look for the end of the body; True when it was found and answered."""
        if self._buffer and self._mode.name == "close_in_data":
            self.drop()
            self._deaf = True
            return False
        if self._mode.name == "half_open":
            self._deaf = True
            assert self._transport is not None
            self._transport.pause_reading()
            return False
        if self._buffer.startswith(b".\r\n"):
            raw, end = b"", 3
        else:
            at = self._buffer.find(END, self._searched)
            if at < 0:
                self._searched = max(0, len(self._buffer) - len(END))
                return False
            raw, end = bytes(self._buffer[: at + 2]), at + len(END)
        del self._buffer[:end]
        self._in_data = False
        self._body(raw)
        return True

    def _body(self, raw: bytes) -> None:
        """The whole body is here: write it down, then answer as the mode says."""
        if raw.startswith(b"."):
            raw = raw[1:]
        raw = raw.replace(b"\r\n..", b"\r\n.")
        mode = self._mode
        kept = mode.kept if mode.name in {"drop_after_dot", "silence"} else mode.name != "refuse_after_dot"
        found = MESSAGE_ID.search(raw, 0, raw.find(b"\r\n\r\n") + 2)
        self._job = found[1].decode("ascii", "replace") if found else ""
        entry = Entry("body", now(), self.number, self._to[0], self._job)
        entry.sha256, entry.size, entry.kept = hashlib.sha256(raw).hexdigest(), len(raw), kept
        if kept:
            self.sink.take(self._sender, self._to, self._job, raw)
        self._record(entry, self._answer_body)

    def _answer_body(self) -> None:
        match self._mode.name:
            case "drop_after_dot":
                self.drop()
            case "silence":
                self._deaf = True
            case "refuse_after_dot":
                self._refuse(self._mode.code or 451)
            case "slow_accept":
                self._later(self._mode.seconds, self._accept)
            case _ if self.sink.pace > 0:
                self._later(self.sink.pace, self._accept)
            case _:
                self._accept()

    def _accept(self) -> None:
        self._note("accepted", 250, then=self._say_accepted)

    def _say_accepted(self) -> None:
        self._say(f"250 2.0.0 ok {self._job}")
        self._forget_mail()

    def _refuse(self, code: int, about: str = "") -> None:
        # Real servers repeat the address in their answer.
        said = f"<{about}>: " if about else ""
        answer = f"{code} 4.7.1 {said}not now" if code // 100 == TEMPORARY else f"{code} 5.1.1 {said}no"

        def then() -> None:
            self._say(answer, close=code == CLOSING)
            if self._job:
                self._forget_mail()

        self._note("refused", code, then=then)

    def _note(self, phase: Phase, code: int = 0, *, then: Callable[[], None]) -> None:
        to = self._to[-1] if self._to else ""
        self._record(Entry(phase, now(), self.number, to, self._job, code=code), then)

    def _record(self, entry: Entry, then: Callable[[], None]) -> None:
        """Write a line, hold the conversation until it is safe, then go on with `then`."""
        self._waiting = True

        def safe() -> None:
            self._waiting = False
            then()
            self._read()

        self.sink.ledger.record(entry, safe)

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        """Hold the conversation for so long, then go on with `action`."""
        self._waiting = True

        def due() -> None:
            self._waiting = False
            action()
            self._read()

        asyncio.get_running_loop().call_later(seconds, due)

    def _say(self, text: str, *, close: bool = False) -> None:
        if self._mode.name == "tarpit":
            self._later(self._mode.seconds, partial(self._write, text, close=close))
        else:
            self._write(text, close=close)

    def _write(self, text: str, *, close: bool) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(text.encode() + b"\r\n")
        if close:
            self._transport.close()

    def _encrypted(self) -> bool:
        return self._transport is not None and self._transport.get_extra_info("sslcontext") is not None

    def _forget_mail(self) -> None:
        self._sender = ""
        self._to: list[str] = []
        self._job = ""
        self._opened = False
        self._mode = ACCEPT

    _COMMANDS: dict[bytes, Callable[["Conversation", bytes], None]] = {  # noqa: RUF012
        b"EHLO": _ehlo,
        b"HELO": _helo,
        b"MAIL": _mail,
        b"RCPT": _rcpt,
        b"DATA": _data,
        b"RSET": _rset,
        b"NOOP": _noop,
        b"AUTH": _auth,
        b"QUIT": _quit,
        b"STARTTLS": _starttls,
    }
