"""The lowest epoch that a wrapped key may have, held by MongoDB itself: the validator of `keys` refuses what is older.

A worker that slept through a turn may still wrap under the old epoch. Nothing that it writes may land there after the
last look for such keys, or that person's key would be lost with the epoch's.
"""

from collections.abc import Mapping

from preklic_workers.store.mongo import Doc, Mongo
from preklic_workers.store.validators import KEY

COLLECTION = "keys"


def validator(floors: Mapping[str, int]) -> Doc:
    """The validator of `keys` with these floors, the lowest epoch by group."""
    older = [{"_id.g": group, "epoch": {"$lt": number}} for group, number in sorted(floors.items())]
    return {"$jsonSchema": KEY} | ({"$nor": older} if older else {})


def floors_in(options: Doc) -> dict[str, int]:
    """The floors in a collection's options as MongoDB lists them."""
    older = options.get("validator", {}).get("$nor", [])
    return {rule["_id.g"]: int(rule["epoch"]["$lt"]) for rule in older}


async def raise_floors(mongo: Mongo, numbers: Mapping[str, int]) -> None:
    """Let no key older than these epochs be written any more; a higher floor stays. Raises `Unavailable`."""
    there = await mongo.collections(keys=True)
    floors = floors_in(there.get(COLLECTION, {}))
    wanted = floors | {group: max(number, floors.get(group, 0)) for group, number in numbers.items()}
    if wanted == floors:
        return
    command = "collMod" if COLLECTION in there else "create"
    strict = {"validationLevel": "strict", "validationAction": "error"}
    await mongo.command({command: COLLECTION, "validator": validator(wanted), **strict}, keys=True)
