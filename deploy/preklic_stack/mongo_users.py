"""A MongoDB that asks who comes: a user for each role, with the rights that `store.rights` gives it and no others."""

import secrets
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from pymongo import MongoClient

from preklic_stack.children import Children
from preklic_stack.mongo import Mongo, start_mongo
from preklic_workers.store import rights

ADMIN = "administrator"


def start_locked_mongo(children: Children, run_dir: Path, members: int = 1, options: Sequence[str] = ()) -> Mongo:
    """As `start_mongo`, but nobody enters without a password; `url` is the administrator's from then on.

    One that was given by `PREKLIC_MONGO_URL` is used as it is. Raises `Missing`, `NotReady`.
    """
    secret = run_dir.parent / f"{run_dir.name}.keyfile"
    secret.parent.mkdir(parents=True, exist_ok=True)
    secret.unlink(missing_ok=True)
    secret.touch(mode=0o600)
    secret.write_text(secrets.token_hex(64))
    # Passwords here are random and long: many rounds of hashing would protect nothing and cost each connection.
    rounds = ["--setParameter", "scramSHA256IterationCount=5000"]
    mongo = start_mongo(children, run_dir, members, options=["--keyFile", str(secret), *rounds, *options])
    if mongo.members:
        password = secrets.token_urlsafe(18)
        with MongoClient[dict[str, object]](mongo.url) as client:  # the first user may be made from this machine
            client.admin.command("createUser", ADMIN, pwd=password, roles=["root"])
        mongo.url = _as(mongo.url, ADMIN, password)
    return mongo


def make_users(mongo: Mongo, database: str) -> None:
    """Make the roles of this database and a user for each; `mongo.url_of(role)` is that user's from then on."""
    if urlsplit(mongo.url).username is None or not mongo.members:
        return
    with MongoClient[dict[str, object]](mongo.url) as client:
        for command in rights.roles(database):
            client.admin.command(command)
            name, password = str(command["createRole"]), secrets.token_urlsafe(18)
            client.admin.command("createUser", name, pwd=password, roles=[name])
            mongo.urls[name.removeprefix(f"{database}_")] = _as(mongo.url, name, password)


def forget_users(mongo: Mongo, database: str) -> None:
    """Undo `make_users`."""
    if mongo.urls:
        with MongoClient[dict[str, object]](mongo.url) as client:
            for command in rights.roles(database):
                client.admin.command("dropUser", command["createRole"])
                client.admin.command("dropRole", command["createRole"])
        mongo.urls.clear()


def _as(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{user}:{password}@{parts.netloc.rpartition('@')[2]}"))
