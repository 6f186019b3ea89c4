"""What each MongoDB user may do, on which collection: one table, and the roles that are made from it.

Letters: r find, i insert, u update, d remove. What a role is not given it is refused by the server itself. Nobody may
remove persons, permissions, withdrawals, messages, dead letters, acts or a part of the ledger: MongoDB alone drops them
by their age, as an index says that only `topology` may make. Of an act the role `ledger` alone takes its leaves.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from preklic_workers.store.mongo import Doc
from preklic_workers.store.validators import VALIDATORS

ACTIONS: Final[Mapping[str, str]] = {"r": "find", "i": "insert", "u": "update", "d": "remove"}
UNVALIDATED: Final[tuple[str, ...]] = ()
KEYS: Final = "keys"  # the wrapped keys, in a database of their own
COLLECTIONS: Final = (*sorted({*VALIDATORS, *UNVALIDATED}), KEYS)

_ALL_BUT_KEYS: Final = dict.fromkeys((name for name in COLLECTIONS if name != KEYS), "r")
_STOPS: Final = {"controls": "riu"}
# Who takes jobs looks what is paused and whether the schema fits, answers probes, and ends what waited in vain.
_WORKS: Final = {"controls": "r", "versions": "r", "ages": "riu", "messages": "riu", "standing": "riu"}
# A no on the way: the gate closes, the receipt is written, and what the person wrote since is looked at.
_WITHDRAWS: Final = {"persons": "riu", "withdrawals": "riu", "messages": "riu"}
# Who holds epoch keys says so: a turn waits until all have the new one.
_HOLDS_KEYS: Final = {"holders": "riud"}

RIGHTS: Final[Mapping[str, Mapping[str, str]]] = {
    "send": _WORKS
    | _WITHDRAWS
    | _STOPS
    | _HOLDS_KEYS
    | {"askings": "riu", "copies": "i", "intents": "i", "leases": "riu", "marks": "r", "schedule": "riud", KEYS: "ri"},
    "track": _WORKS | _WITHDRAWS | _STOPS | {"events": "rid", "batches": "i"},
    "revoke": _WORKS
    | _WITHDRAWS
    | {
        "marks": "riu",
        "schedule": "rud",
        "events": "rd",
        "permissions": "ru",
        "dead": "ru",
        "acts": "i",  # that an erasure left something to a hold
        KEYS: "rid",  # what holds cover it sets aside; it can open none
    },
    "record": _WORKS
    | _HOLDS_KEYS
    | {"persons": "riu", "permissions": "riu", "wordings": "riu", "messages": "riu", "withdrawals": "r"}
    | {"schedule": "ri", "askings": "rd", KEYS: "rid"},
    "answer": _WORKS
    | dict.fromkeys(("persons", "withdrawals", "statistics", "campaigns", "schedule"), "r")
    | {"acts": "i"},
    "campaign": _WORKS
    | _STOPS
    | _HOLDS_KEYS
    | {"campaigns": "riu", "persons": "r", "schedule": "riud", "acts": "i", KEYS: "r"},
    "webhook": _WORKS | {"webhooks": "riu", "webhook_failures": "riud", "acts": "i"},
    # It takes entries off their documents, and changes nothing else there; an act of its own asks for a stamp. A key
    # that it made for somebody who was erased in that moment it takes away again.
    "ledger": _HOLDS_KEYS
    | dict.fromkeys(("messages", "permissions", "withdrawals", "copies", "batches", "controls"), "ru")
    | dict.fromkeys(("ledger", "checkpoints", "stamps", "cosignatures"), "ri")
    | dict.fromkeys(("acts", "standing"), "riu")
    | {"intents": "rud", "operators": "r", "persons": "r", "versions": "r", KEYS: "rid"},
    "upkeep": _ALL_BUT_KEYS
    | _WITHDRAWS
    | _STOPS
    | _HOLDS_KEYS
    | dict.fromkeys(("accounts", "campaigns", "dead", "feeds", "permissions", "plans", "requests", "wordings"), "riu")
    | dict.fromkeys(("ages", "leases", "operators", "standing", "statistics", "webhooks"), "riu")
    | {
        "acts": "ri",
        "marks": "riud",
        "events": "rid",
        "held_mails": "riud",
        "copies": "rd",
        "batches": "ri",
        "schedule": "riud",
        KEYS: "riud",
    },
    # People: `look` changes nothing; `respond` stops, replays and settles doubt. Neither can open or find a key.
    "look": _ALL_BUT_KEYS,
    "respond": _ALL_BUT_KEYS
    | _STOPS
    | dict.fromkeys(("campaigns", "dead", "messages", "plans", "webhooks"), "riu")
    | {"acts": "ri", "marks": "rd", "persons": "ru", "schedule": "rud"},
    # Makes collections, validators and indexes, and cannot read what is in them; it says which schema there is now.
    "topology": {"versions": "riu"},
}
# Made by `preklic topology roles`. Users come from a file of user to password, the one that RabbitMQ's come from too:
# a role, or a role and a name (`look.ana`).
SCRIPT: Final = """\
// The roles of Preklic in MongoDB, and a user for each entry of PREKLIC_USERS (a JSON file of user to password).
// Made by `preklic topology roles`; do not edit. Run as an administrator, as often as you like:
//   PREKLIC_USERS=/run/secrets/users.json mongosh "$ADMIN_URL" roles.js
const admin = db.getSiblingDB("admin");
const roles = ROLES;
const run = (command) => {
  const answer = admin.runCommand(command);
  if (answer.ok !== 1) throw new Error(`${Object.keys(command)[0]}: ${answer.codeName}`);
  return answer;
};
const there = (kind, name) => run({ [`${kind}Info`]: name })[kind].length > 0;
const named = (command, verb, name) => Object.fromEntries(
  Object.entries(command).map(([key, value], place) => (place === 0 ? [verb, name] : [key, value])),
);
for (const role of roles) {
  run(there("roles", role.createRole) ? named(role, "updateRole", role.createRole) : role);
}
if (process.env.PREKLIC_USERS) {
  const users = JSON.parse(require("fs").readFileSync(process.env.PREKLIC_USERS, "utf8"));
  const known = new Map(roles.map((role) => [role.createRole.slice("DATABASE_".length), role.createRole]));
  for (const [user, pwd] of Object.entries(users)) {
    const role = known.get(user.split(".")[0]);
    if (role === undefined) continue; // a user of RabbitMQ alone
    const name = `DATABASE_${user}`;
    run({ [there("users", name) ? "updateUser" : "createUser"]: name, pwd, roles: [role] });
  }
}
"""
_SEES: Final = ["listCollections"]
_LOOKS: Final = frozenset({"look", "respond", "upkeep", "topology"})


def may(role: str, collection: str, letter: str) -> bool:
    """Whether the role may do that there; `letter` as in ACTIONS."""
    return letter in RIGHTS[role].get(collection, "")


def roles(database: str = "preklic") -> list[Doc]:
    """MongoDB's `createRole` commands, for the database `admin`; each role is called `<database>_<role>`."""
    return [
        {"createRole": name_of(role, database), "privileges": list(_privileges(role, database)), "roles": []}
        for role in RIGHTS
    ]


def name_of(role: str, database: str = "preklic") -> str:
    """MongoDB's name of the role, and of its one user where none is named.

    >>> name_of("send")
    'preklic_send'
    """
    return f"{database}_{role}"


def script(database: str = "preklic") -> str:
    """The roles as a script for mongosh. Safe to repeat: a role that is there gets the rights of this version."""
    listed = json.dumps(roles(database), indent=1)
    return SCRIPT.replace("ROLES", listed).replace("DATABASE", database)


def _privileges(role: str, database: str) -> Iterator[Doc]:
    keys, proof = f"{database}_keys", f"{database}_proof"
    for collection in COLLECTIONS:
        actions = [action for letter, action in ACTIONS.items() if may(role, collection, letter)]
        if actions:
            yield _privilege(keys if collection == KEYS else database, collection, actions)
    if role in _LOOKS:  # `doctor` and `topology check` compare what there is
        for name in (database, keys):
            yield _privilege(name, "", [*_SEES, "listIndexes"])
    if role == "topology":
        for name in (database, keys):
            yield _privilege(name, "", ["collMod", "createCollection", "createIndex", "dropIndex"])
    if role == "upkeep":
        # The reader of changes reads all of it; the floor of the wrapped keys; where their backup is tried.
        yield _privilege(database, "", ["changeStream", "find"])
        yield _privilege(keys, KEYS, ["collMod"])
        yield _privilege(proof, "", ["find", "insert", "createCollection", "dropDatabase"])


def _privilege(database: str, collection: str, actions: list[str]) -> dict[str, Any]:
    return {"resource": {"db": database, "collection": collection}, "actions": actions}
