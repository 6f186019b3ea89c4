"""`/healthz`, `/readyz` and `/metrics` of a worker or listener, on a port of its own, in a thread of its own."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from preklic_shared import metrics

Ready = Callable[[], dict[str, bool]]
_SECONDS: Final = 5


class Health:
    """Serves until `close`. `ready` names what must be true before a worker takes jobs, and whether it is."""

    def __init__(self, port: int, ready: Ready, host: str = "127.0.0.1") -> None:
        """OSError when the port is taken; 0 asks the system for a free one."""
        self._server = ThreadingHTTPServer((host, port), _handler(ready))
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="preklic health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def answer(path: str, ready: Ready) -> tuple[int, str, bytes]:
    """Status, content type and body for a path. Alive is who answers at all; ready is who can work."""
    if path == "/metrics":
        return 200, metrics.CONTENT_TYPE, metrics.exposition()
    if path == "/healthz":
        return 200, "application/json", b'{"alive": true}'
    if path == "/readyz":
        checks = ready()
        return 200 if all(checks.values()) else 503, "application/json", json.dumps(checks).encode()
    return 404, "application/json", b"{}"


def _handler(ready: Ready) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _SECONDS

        def do_GET(self) -> None:
            status, kind, body = answer(self.path.partition("?")[0], ready)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: Any, **_keywords: Any) -> None:
            """Scrapes are no news."""

    return Handler
