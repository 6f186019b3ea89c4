"""Collections, validators and indexes, made and compared. Idempotent."""

from preklic_workers.store.indexes import INDEXES
from preklic_workers.store.mongo import Doc, Mongo
from preklic_workers.store.validators import KEY, VALIDATORS


async def apply(mongo: Mongo) -> None:
    """Make collections, validators and indexes what this version says. Raises `Unavailable`."""
    for keys, validators in ((False, VALIDATORS), (True, {"keys": KEY})):
        there = await mongo.collections(keys=keys)
        for name, schema in validators.items():
            command = "collMod" if name in there else "create"
            await mongo.command({command: name, **_validation(schema)}, keys=keys)
    for name, indexes in INDEXES.items():
        for index in indexes:
            await mongo[name].create_index(index.keys, name=index.name, **index.options)


async def check(mongo: Mongo) -> list[str]:
    """What differs from this version, in words; empty when nothing does. Raises `Unavailable`."""
    faults = []
    for keys, validators in ((False, VALIDATORS), (True, {"keys": KEY})):
        there = await mongo.collections(keys=keys)
        for name, schema in validators.items():
            wanted = _validation(schema)
            if any(there.get(name, {}).get(option) != value for option, value in wanted.items()):
                faults.append(f"{name}: the validator differs")
    for name, indexes in INDEXES.items():
        found = await mongo[name].indexes()
        faults += [f"{name}: the index {index.name} is missing" for index in indexes if index.name not in found]
    return faults


def _validation(schema: Doc) -> Doc:
    return {"validator": {"$jsonSchema": schema}, "validationLevel": "strict", "validationAction": "error"}
