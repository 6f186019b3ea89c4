"""One RabbitMQ, one MongoDB and one sink for the whole session, each test with a vhost and databases of its own.

Fixtures start only what a test asks for. A service that is not installed skips on a laptop and fails when `CI` is true.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest
from hypothesis import settings

from preklic_stack.children import Children
from preklic_stack.mailsink import MailSink, start_sink
from preklic_stack.mongo import Mongo, start_mongo
from preklic_stack.mongo_users import start_locked_mongo
from preklic_stack.places import quick_folder
from preklic_stack.ports import free_port as any_free_port
from preklic_stack.ports import is_free
from preklic_stack.programs import Missing
from preklic_stack.rabbit import Rabbit, start_rabbit
from waiting import until

T = TypeVar("T")

# A busy machine makes an example slow, and no property is about time.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


def _or_skip(start: Callable[[], T]) -> T:
    try:
        return start()
    except Missing as missing:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def found_or_skipped() -> Callable[[Callable[[], T]], T]:
    """Call it with what finds or starts a program, as those below do."""
    return _or_skip


@pytest.fixture(scope="session")
def run_dir() -> Iterator[Path]:
    """Where the session's servers keep data and logs: in memory if there is room; gone afterwards."""
    with TemporaryDirectory(prefix="preklic-", dir=quick_folder()) as folder:
        yield Path(folder)


def _started() -> Iterator[Children]:
    with Children() as started:
        yield started
    until(lambda: not started.left(), 10, f"processes gone: {started.left()}")
    until(lambda: all(is_free(port) for port in started.ports), 10, f"ports free again: {started.ports}")


@pytest.fixture(scope="session")
def children(run_dir: Path) -> Iterator[Children]:
    """Starts processes for the session; afterwards asserts that none of them, and no port of theirs, is left."""
    yield from _started()


@pytest.fixture
def processes() -> Iterator[Children]:
    """The same for one test: its workers, gateways, or servers of its own."""
    yield from _started()


@pytest.fixture(scope="session")
def rabbit(children: Children, run_dir: Path) -> Rabbit:
    """The session's RabbitMQ. Do not stop it: start your own with `start_rabbit(processes, tmp_path)`."""
    return _or_skip(lambda: start_rabbit(children, run_dir / "rabbit"))


@pytest.fixture(scope="session")
def mongo(children: Children, run_dir: Path) -> Mongo:
    """The session's MongoDB, a replica set of one. Not to be stopped either."""
    return _or_skip(lambda: start_mongo(children, run_dir / "mongo"))


@pytest.fixture(scope="session")
def locked_mongo(children: Children, run_dir: Path) -> Mongo:
    """A second MongoDB that takes nobody without a password; its `url` is the administrator's."""
    return _or_skip(lambda: start_locked_mongo(children, run_dir / "locked-mongo"))


@pytest.fixture(scope="session")
def sink_process(children: Children, run_dir: Path) -> MailSink:
    return start_sink(children, run_dir / "sink", "--tls")


@pytest.fixture
def sink(sink_process: MailSink) -> Iterator[MailSink]:
    """The session's SMTP sink, accepting and with an empty inbox. Its ledger grows: filter by your job ids."""
    sink_process.mode("accept")
    sink_process.smtputf8(on=True)
    sink_process.forget()
    yield sink_process
    sink_process.mode("accept")


@pytest.fixture
def vhost(rabbit: Rabbit) -> Iterator[str]:
    """A fresh virtual host; its queues and connections end with the test."""
    name = f"t-{uuid.uuid4().hex[:12]}"
    rabbit.management.add_vhost(name)
    yield name
    rabbit.management.delete_vhost(name)


@pytest.fixture
def amqp_url(rabbit: Rabbit, vhost: str) -> str:
    """AMQP URL of the administrator on this test's vhost; nothing is declared there yet."""
    return rabbit.amqp_url(vhost)


@pytest.fixture
def mongo_database(mongo: Mongo) -> Iterator[str]:
    """A fresh database name; it and `<name>_keys` are dropped afterwards."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    yield name
    mongo.drop(name, f"{name}_keys")


@pytest.fixture
def mongo_url(mongo: Mongo) -> str:
    return mongo.url


@pytest.fixture
def free_port() -> int:
    """A loopback port that nothing listens on."""
    return any_free_port()
