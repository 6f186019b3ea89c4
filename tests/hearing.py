"""A receiver of webhooks: a real HTTP server that checks signatures with another implementation, and misbehaves."""

import json
import socket
import struct
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread

from standardwebhooks import Webhook

from preklic_workers.webhooks.signing import new_secret


class Heard:
    """One request: the path, the headers in lower case, the body as it came."""

    def __init__(self, path, headers, body):
        self.path, self.headers, self.body = path, headers, body
        self.id, self.told = headers["webhook-id"], json.loads(body)

    def verified_by(self, secret):
        return Webhook(secret).verify(self.body, self.headers)


class Receiver:
    """`modes[path]` says how a path answers: a status, or a word below. Unknown paths answer 204."""

    def __init__(self):
        self.modes, self.heard, self.connections, self.go = {}, [], set(), Event()
        self._lock = Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def ids(self, path="/"):
        return [one.id for one in list(self.heard) if one.path == path]

    def _handler(self):
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with receiver._lock:
                    receiver.heard.append(Heard(self.path, headers, body))
                    receiver.connections.add(self.client_address)
                receiver._answer(self, receiver.modes.get(self.path, 204))

            def do_GET(self):
                with receiver._lock:
                    receiver.heard.append(f"GET {self.path}")
                self.send_error(404)

            def log_message(self, *_):
                pass

        return Handler

    def _answer(self, handler, mode):
        if mode == "hold":
            self.go.wait(20)
            mode = 204
        if mode == "closes":
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.wfile.write(b"HTTP/1.1 2")
            handler.close_connection = True
            handler.connection.close()
            return
        if mode == "no end":  # a status and a body without an end
            handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n")
            try:
                for _ in range(400):
                    handler.wfile.write(b"x" * 4096)
                    time.sleep(0.001)
            except OSError:
                handler.close_connection = True
            return
        handler.send_response(mode)
        if mode in (301, 302, 307, 308):
            handler.send_header("location", f"{self.url}/elsewhere")
        handler.send_header("content-length", "0")
        handler.end_headers()


@contextmanager
def receiving():
    receiver = Receiver()
    thread = Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.go.set()
        receiver.server.shutdown()
        receiver.server.server_close()


def secret_file(folder, name="shop", secrets=None):
    """A private file with these secrets (one new one), and the secrets."""
    secrets = secrets or [new_secret()]
    path = folder / f"{name}.whsec"
    path.write_text("".join(f"{one}\n" for one in secrets))
    path.chmod(0o600)
    return path, secrets
