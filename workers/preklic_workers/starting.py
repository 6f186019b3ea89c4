"""What must be so before a worker takes its first job; each that is not ends it with one line that says what to do.

Keys, settings and services that are away are refused where they are opened. Here is what would otherwise be noticed job
by job: a topology or a schema that nobody applied, and two registries that bear the same version.
"""

import hashlib

import msgspec

from preklic_shared import telemetry
from preklic_shared.publication import Unavailable as BrokerAway
from preklic_shared.registry import Registry
from preklic_shared.topology_apply import absent
from preklic_workers.store.mongo import Mongo
from preklic_workers.store.versions import Versions

log = telemetry.logger(__name__)


class NotReady(Exception):
    """This process must not work; the message says why, and what mends it."""


def check_topology(url: str, role: str) -> None:
    """Raise NotReady when something is missing that `role` reads or writes; a broker that is away is waited for."""
    try:
        missing = absent(url, role)
    except BrokerAway:
        log.warning("the broker is away: waiting for it", role=role)
        return
    if missing:
        raise NotReady(f"the broker has no {', '.join(missing)}: run `preklic topology apply` as the user topology")


async def check_database(mongo: Mongo, registry: Registry) -> None:
    """Raise NotReady for a database without this release's schema, or a registry that differs from the applied one."""
    versions = Versions(mongo)
    if not await versions.knows_schema():
        raise NotReady("the database was never given this release's schema: run `preklic topology apply`")
    applied = await versions.registry(registry.version)
    if applied is not None and applied != fingerprint(registry):
        raise NotReady(mismatch(registry))


def mismatch(registry: Registry) -> str:
    """What to do about two registries that bear one version. Pure."""
    return (
        f"the registry differs from the one applied as version {registry.version}: copy that file here, or raise "
        "`version` in it and run `preklic topology apply`"
    )


def fingerprint(registry: Registry) -> str:
    """The registry's content as 64 hex digits: rules, wordings and the policy's text. Pure."""
    said = [registry.version, registry.controller, registry.policy, registry.promises, registry.purposes]
    return hashlib.sha256(msgspec.json.encode([*said, sorted(map(repr, registry.wordings.items()))])).hexdigest()
