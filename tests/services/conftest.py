import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from pymongo import DeleteMany

from preklic_shared.topology_apply import apply
from preklic_stack.mongo import Mongo
from preklic_workers.store import Store
from preklic_workers.store.validators import VALIDATORS
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


@pytest.fixture(scope="module")
def one_database(mongo: Mongo) -> Iterator[str]:
    """One database for the tests of a module: to make all collections anew takes longer than most of them."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    yield name
    mongo.drop(name, f"{name}_keys")


@pytest.fixture
async def emptied_store(mongo_url: str, one_database: str) -> AsyncIterator[Store]:
    """A store on the module's database, with nothing in it."""
    opened = await open_test_store(mongo_url, one_database)
    places = [*(opened.mongo[name] for name in VALIDATORS), opened.mongo.keys()]
    await asyncio.gather(*(place.bulk([DeleteMany({})]) for place in places))
    yield opened
    opened.close()
