"""What an erasure leaves of a person's document. Pure."""

import datetime as dt

from preklic_workers.store.holding import held_groups, set_aside
from preklic_workers.store.mongo import Doc


def emptied_doc(doc: Doc, at: dt.datetime, keep: frozenset[str], now: dt.datetime) -> Doc:
    """The update of an erasure at `at`, applied `now`, that keeps the field groups `keep`."""
    when = max(at, doc.get("no_at", at))
    # `untold` until a tombstone outside the database tells of it (store.untold).
    said: Doc = {"suppressed.erased": when, "no_at": when, "untold": True}
    update: Doc = {"$set": said | set_aside(doc, held_groups(doc) - keep, at, now)}
    gone = [f"fields.{group}" for group in doc.get("fields", {}) if group not in keep]
    if "contact" not in keep:
        # An objection is no consent that lapses: a yes to something else must not lift it (law 5).
        objected = {key: said for key, said in doc["permissions"].items() if said["state"] == "objected"}
        update["$set"] |= {"erased": True, "permissions": objected, "withdrawals": []}
        gone += [name for name in ("contact", "lookup", "provider", "ref_hash", "alive") if name in doc]
    return update | ({"$unset": dict.fromkeys(gone, "")} if gone else {})
