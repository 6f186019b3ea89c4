"""Receives outgoing webhooks in development: each becomes a line of a file, and its page shows the last ones."""

import json
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any, ClassVar

from preklic_workers.webhooks.signing import new_secret

SHOWN = 100
LONGEST = 1 << 20  # octets of a body that is read


class _Handler(BaseHTTPRequestHandler):
    """POST writes a line, GET shows the last of them. Whoever is on this machine may post: signatures are not read."""

    file: ClassVar[Path]
    lock: ClassVar[Lock]

    def do_POST(self) -> None:
        """Take one webhook; what is no JSON or too long is refused."""
        length = self.headers.get("content-length", "")
        body = self.rfile.read(int(length)) if length.isdigit() and int(length) <= LONGEST else b""
        try:
            line = json.dumps({"id": self.headers.get("webhook-id"), "told": json.loads(body)})
        except ValueError:
            return self._answer(400)
        with self.lock, self.file.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
        return self._answer(204)

    def do_GET(self) -> None:
        """The last lines as text."""
        with self.lock, self.file.open(encoding="utf-8") as file:
            self._answer(200, "".join(deque(file, SHOWN)).encode())

    def log_message(self, *_args: Any, **_keywords: Any) -> None:
        """Say nothing."""

    def _answer(self, status: int, text: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("content-type", "text/plain; charset=utf-8")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@contextmanager
def receiver(folder: Path) -> Iterator[str]:
    """A receiver on a free loopback port; its URL. The lines go to `webhooks.jsonl` below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "webhooks.jsonl").touch()
    handler = type("Handler", (_Handler,), {"file": folder / "webhooks.jsonl", "lock": Lock()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def endpoint(folder: Path, url: str) -> str:
    """The settings of an endpoint at this URL, whose secret is made below `folder`."""
    secret = folder / "local.whsec"
    secret.touch(mode=0o600)
    secret.write_text(f"{new_secret()}\n", encoding="ascii")
    return f'\n[[webhooks_out]]\nname = "local"\nurl = "{url}"\nsecret_file = "{secret}"\n'
