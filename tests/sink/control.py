"""The sink's HTTP side on loopback: switch the mode, count, look at the inbox. One request a connection."""

import asyncio
import json
from urllib.parse import unquote

import msgspec

from sink.inbox import inbox_page, mail_body, mail_page
from sink.server import Mail, Sink

TEXT, HTML, JSON = "text/plain; charset=utf-8", "text/html; charset=utf-8", "application/json"
Answer = tuple[int, str, bytes]


class Control:
    """GET / (inbox), /mails, /mails/N, /mails/N/html|text|raw, /counts; POST /mode, /pace, /smtputf8, /forget."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(10):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                method, target, _ = head.split("\r\n")[0].split(" ", 2)
                length = next((int(n) for k, n in _fields(head) if k == "content-length"), 0)
                body = await reader.readexactly(length)
            status, kind, content = self._answer(method, unquote(target.split("?")[0]), body)
            writer.write(_head(status, kind, len(content)) + content)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError, ValueError):
            pass
        finally:
            writer.close()

    def _answer(self, method: str, path: str, body: bytes) -> Answer:
        if method == "POST":
            return self._change(path, body)
        parts = path.strip("/").split("/")
        match parts:
            case [""]:
                return 200, HTML, inbox_page(list(self.sink.mails)).encode()
            case ["mails"]:
                return 200, JSON, msgspec.json.encode(list(self.sink.mails))
            case ["counts"]:
                counts = self.sink.ledger.counts | {"kept": self.sink.taken, "open": len(self.sink.connections)}
                counts |= {"most_open": self.sink.most_open}
                return 200, JSON, json.dumps(counts).encode()
            case ["mails", number, *view] if number.isdigit() and (mail := self._find(int(number))):
                return _view(mail, view)
            case _:
                return 404, TEXT, b"not here\n"

    def _change(self, path: str, body: bytes) -> Answer:
        try:
            fields = json.loads(body or b"{}")
            match path:
                case "/mode":
                    self.sink.set_mode(**fields)
                case "/pace":
                    self.sink.pace = float(fields["seconds"])
                case "/smtputf8":
                    self.sink.features.smtputf8 = bool(fields["on"])
                case "/forget":
                    self.sink.mails.clear()
                    self.sink.most_open = len(self.sink.connections)
                case _:
                    return 404, TEXT, b"not here\n"
        except (ValueError, TypeError, KeyError, msgspec.ValidationError) as error:
            return 400, TEXT, f"{error}\n".encode()
        return 200, JSON, b"{}"

    def _find(self, number: int) -> Mail | None:
        return next((mail for mail in self.sink.mails if mail.number == number), None)


def _view(mail: Mail, view: list[str]) -> Answer:
    match view:
        case []:
            return 200, HTML, mail_page(mail).encode()
        case ["raw"]:
            return 200, TEXT, mail.raw
        case ["html"]:
            return 200, HTML, mail_body(mail, "html").encode()
        case ["text"]:
            return 200, TEXT, mail_body(mail, "plain").encode()
        case _:
            return 404, TEXT, b"not here\n"


def _fields(head: str) -> list[tuple[str, str]]:
    pairs = (line.partition(":") for line in head.split("\r\n")[1:])
    return [(name.strip().lower(), value.strip()) for name, _, value in pairs]


def _head(status: int, kind: str, length: int) -> bytes:
    lines = [
        f"HTTP/1.1 {status} -",
        f"Content-Type: {kind}",
        f"Content-Length: {length}",
        "Connection: close",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        # A mail's HTML, opened outside the page's frame, runs no script either.
        "Content-Security-Policy: sandbox allow-popups; script-src 'none'; object-src 'none'",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
