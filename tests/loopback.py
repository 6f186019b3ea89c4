"""A small HTTP server of a test's own on loopback, at a port that is free."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def served(answer: Callable[[str, bytes | None], tuple[int, bytes]], kind: str = "text/plain") -> Iterator[str]:
    """Serve until the end; the address, without a path. `answer`: status and body for a path and a POST's body."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.say(self.rfile.read(int(self.headers["content-length"])))

        def do_GET(self):
            self.say(None)

        def say(self, body):
            status, octets = answer(self.path, body)
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(octets)))
            self.end_headers()
            self.wfile.write(octets)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
