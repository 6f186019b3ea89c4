from collections.abc import AsyncIterator, Iterator

import pytest

from preklic_shared.topology_apply import apply
from preklic_workers.store import Store
from queueing import Queues, queues_of
from storing import open_test_store


@pytest.fixture
def url(amqp_url: str) -> str:
    """AMQP URL of a vhost of this test's own, with the topology declared."""
    apply(amqp_url)
    return amqp_url


@pytest.fixture
def queues(url: str) -> Iterator[Queues]:
    """A look into the queues of `url`."""
    with queues_of(url) as found:
        yield found


@pytest.fixture
async def store(mongo_url: str, mongo_database: str) -> AsyncIterator[Store]:
    """A store on a database of its own, with validators and indexes."""
    opened = await open_test_store(mongo_url, mongo_database)
    yield opened
    opened.close()
