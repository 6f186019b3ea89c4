"""A relay that says what a test tells it to, where the sink has no mode for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

OK = b"250 2.0.0 ok\r\n"
USUAL = {
    "banner": b"220 scripted ESMTP\r\n",
    "EHLO": b"250-scripted\r\n250 8BITMIME\r\n",
    "DATA": b"354 go on\r\n",
    "QUIT": b"221 bye\r\n",
}


class Scripted:
    """`script` maps a verb, `banner` or `body` to the bytes of its answer; empty bytes close. `heard` are the verbs."""

    def __init__(self, script: dict[str, bytes]) -> None:
        self.answers = USUAL | script
        self.heard: list[str] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._say(writer, "banner")
            while line := await reader.readline():
                verb = line[:4].decode("ascii").upper()
                self.heard.append(verb)
                await self._say(writer, verb)
                if verb == "DATA" and self.answers[verb].startswith(b"354"):
                    await reader.readuntil(b"\r\n.\r\n")
                    self.heard.append("body")
                    await self._say(writer, "body")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _say(self, writer: asyncio.StreamWriter, verb: str) -> None:
        answer = self.answers.get(verb, OK)
        if not answer:
            raise ConnectionResetError
        writer.write(answer)
        await writer.drain()


@asynccontextmanager
async def scripted(**script: bytes) -> AsyncIterator[Scripted]:
    """A running scripted relay on a free loopback port."""
    relay = Scripted(script)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
