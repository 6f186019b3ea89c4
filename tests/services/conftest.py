from collections.abc import AsyncIterator

import pytest

from preklic_workers.store import Store
from storing import open_test_store


@pytest.fixture
async def store(mongo_url: str, mongo_database: str) -> AsyncIterator[Store]:
    """A store on a database of its own, with validators and indexes."""
    opened = await open_test_store(mongo_url, mongo_database)
    yield opened
    opened.close()
