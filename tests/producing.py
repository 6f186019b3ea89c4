"""What tests of producers and gateway share: sealing keys and their private halves, a look into queues, a wire."""

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import pika
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from preklic_producers.gateway.context import Gateway
from preklic_producers.gateway.server import server
from preklic_shared.jobs import AskJob, Job, Payload
from preklic_shared.sealing import Opener, sign_public_file
from preklic_shared.settings import Settings
from preklic_shared.wire import decode, decode_payload
from waiting import until

ROLES = ("send", "revoke", "record", "answer", "campaign")
DAY = 86_400_000
RAW = (serialization.Encoding.Raw, serialization.PublicFormat.Raw)


@dataclass
class Sealed:
    """A signed file of public keys, the pin of its signer, and what opens the jobs again."""

    path: Path
    pin: str
    opener: Opener
    signer: Ed25519PrivateKey
    public: dict[str, tuple[str, bytes]]

    def write(self, *, expires: int) -> None:
        now = time.time_ns() // 1_000_000
        self.path.write_bytes(sign_public_file(self.public, self.signer, issued=now, expires=expires))

    def open(self, job: Job) -> Payload:
        return decode_payload(type(job), self.opener.open(job.key, job.header(), job.sealed))


def sealing(folder: Path, *, expires: int | None = None) -> Sealed:
    private = {f"{role}-1": X25519PrivateKey.generate() for role in ROLES}
    public = {role: (f"{role}-1", private[f"{role}-1"].public_key().public_bytes(*RAW)) for role in ROLES}
    signer = Ed25519PrivateKey.generate()
    pin = signer.public_key().public_bytes(*RAW).hex()
    sealed = Sealed(folder / "sealing.json", pin, Opener(private), signer, public)
    sealed.write(expires=time.time_ns() // 1_000_000 + DAY if expires is None else expires)
    return sealed


def bodies_in(url: str, queue: str) -> list[bytes]:
    """Take every message that is in the queue now."""
    found = []
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        while True:
            method, _, body = channel.basic_get(queue, auto_ack=True)
            if method is None:
                return found
            found.append(body)


def jobs_in(url: str, queue: str) -> list[Job]:
    """Take every job that is in the queue now; a body that is no job fails the test."""
    return [decode(body, queue)[1] for body in bodies_in(url, queue)]


def alike(answer: Any) -> tuple[int, dict[str, str], str]:
    """What a client sees of an httpx answer, without what is fresh in each: its second, the receipt, the link to /p."""
    headers = {name: value for name, value in answer.headers.items() if name != "date"}
    text = re.sub(r"<code>[0-9a-f-]{36}</code>", "<code></code>", answer.content.decode("latin-1"))
    return answer.status_code, headers, re.sub(r'/p/[A-Za-z0-9_-]{68}"', '/p/"', text)


class Wire:
    """A TCP relay to a broker that a test can cut and mend. `url` is the AMQP URL through it."""

    def __init__(self, url: str, port: int) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname, parts.port)
        self._port = port
        self._server: socket.socket | None = None
        self._ends: list[socket.socket] = []
        login = parts.netloc.rpartition("@")[0]
        self.url = urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{port}"))

    def mend(self) -> "Wire":
        self._server = socket.create_server(("127.0.0.1", self._port))
        threading.Thread(target=self._accept, args=(self._server,), daemon=True).start()
        return self

    def cut(self) -> None:
        if self._server is not None:
            self._server.shutdown(socket.SHUT_RDWR)
            self._server.close()
            self._server = None
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._ends.clear()

    def _accept(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = server.accept()
                far = socket.create_connection(self._target)
                self._ends += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=_pump, args=pair, daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


class Served:
    """A gateway in a thread of this process, on a real socket."""

    def __init__(self, settings: Settings, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.server = server(settings, "127.0.0.1", port)
        self._thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        until(lambda: self.server.started or not self._thread.is_alive(), 10, "the gateway serves")
        assert self.server.started
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self._thread.join()

    @property
    def gateway(self) -> Gateway:
        """The parts of the running gateway."""
        return self.server.config.app.state.gateway


class Answerer:
    """Answers every question on `ask` with `answer(job)`; what it was asked is in `asked`."""

    def __init__(self, url: str, answer: Callable[[AskJob], bytes | None]) -> None:
        self.asked: list[AskJob] = []
        self._answer = answer
        self._connection = pika.BlockingConnection(pika.URLParameters(url))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._connection.close()

    def _work(self) -> None:
        channel = self._connection.channel()
        while not self._over.is_set():
            method, properties, body = channel.basic_get("ask", auto_ack=True)
            if method is None:
                self._connection.sleep(0.01)
                continue
            job = decode(body, "ask")[1]
            self.asked.append(job)
            answer = self._answer(job)
            if answer is not None:
                back = pika.BasicProperties(correlation_id=properties.correlation_id)
                channel.basic_publish("", properties.reply_to, answer, back)
