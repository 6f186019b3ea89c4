"""Collections, validators and indexes, made and compared. Idempotent."""

from preklic_workers.store import floors
from preklic_workers.store.indexes import INDEXES, KEY_INDEXES
from preklic_workers.store.mongo import Doc, Mongo
from preklic_workers.store.validators import VALIDATORS
from preklic_workers.store.versions import Versions


async def apply(mongo: Mongo) -> None:
    """Make collections, validators and indexes what this version says. Raises `Unavailable`."""
    for keys in (False, True):
        there = await mongo.collections(keys=keys)
        for name, validator in _wanted(there, keys=keys).items():
            command = "collMod" if name in there else "create"
            await mongo.command({command: name, **_validation(validator)}, keys=keys)
    for name, indexes in INDEXES.items():
        for index in indexes:
            await mongo[name].create_index(index.keys, name=index.name, **index.options)
    for index in KEY_INDEXES:
        await mongo.keys().create_index(index.keys, name=index.name, **index.options)
    await Versions(mongo).applied()


async def check(mongo: Mongo) -> list[str]:
    """What differs from this version, in words; empty when nothing does. Raises `Unavailable`."""
    faults = []
    for keys in (False, True):
        there = await mongo.collections(keys=keys)
        for name, validator in _wanted(there, keys=keys).items():
            wanted = _validation(validator)
            if any(there.get(name, {}).get(option) != value for option, value in wanted.items()):
                faults.append(f"{name}: the validator differs")
    for name, indexes in INDEXES.items():
        found = await mongo[name].indexes()
        faults += [f"{name}: the index {index.name} is missing" for index in indexes if index.name not in found]
    found = await mongo.keys().indexes()
    return faults + [f"keys: the index {index.name} is missing" for index in KEY_INDEXES if index.name not in found]


def _wanted(there: dict[str, Doc], *, keys: bool) -> dict[str, Doc]:
    """The validators by collection. The floor of the wrapped keys is what the last turn made it."""
    if keys:
        return {floors.COLLECTION: floors.validator(floors.floors_in(there.get(floors.COLLECTION, {})))}
    return {name: {"$jsonSchema": schema} for name, schema in VALIDATORS.items()}


def _validation(validator: Doc) -> Doc:
    return {"validator": validator, "validationLevel": "strict", "validationAction": "error"}
