"""The review of the silent (U7): storage has a date at which somebody looks whether an address is still needed."""

import datetime as dt

from preklic_shared.registry import Registry
from preklic_workers.store import Silent, Store


async def silent(store: Store, registry: Registry, limit: int) -> list[Silent]:
    """Persons without any sign of life for as long as the registry says; empty when it says nothing of storage."""
    before = review_before(registry, store.mongo.now())
    return [] if before is None else await store.signs.silent(before, contracts(registry), limit)


async def count(store: Store, registry: Registry) -> int:
    """How many they are."""
    before = review_before(registry, store.mongo.now())
    return 0 if before is None else await store.signs.count(before, contracts(registry))


def review_before(registry: Registry, now: dt.datetime) -> dt.datetime | None:
    """Whoever's last sign of life is older is to be reviewed; None without an entry for storage. Pure."""
    kept = next((purpose for purpose in registry.purposes.values() if purpose.clause == "U7"), None)
    return None if kept is None else now - dt.timedelta(days=kept.retention_days)


def contracts(registry: Registry) -> list[str]:
    """The purposes that nobody's silence ends. Pure."""
    return [key for key, purpose in registry.purposes.items() if purpose.mail and not purpose.needs_known_person]
