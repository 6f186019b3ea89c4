"""The broker: its version and alarms, the topology with its bindings, and what each user may do."""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from preklic_shared import topology_apply
from preklic_shared.topology import JOBS, ROLES, Role, keys_of, role_of
from preklic_workers import binding_drift
from preklic_workers.doctor.finding import Finding, Patient, Seen
from preklic_workers.management import Management

OLDEST, BEYOND = (3, 10), (5, 0)
_DRIFT: Final = "jobs are refused as unroutable, or go where nobody takes them from"
_COPIES: Final = "jobs are copied to where they do not belong, or what cannot be routed is hidden"
_TOO_MUCH: Final = "a role that can do more than its part is a way around the others; one that can do less stands still"
_GRANT: Final = "preklic topology definitions --user {user} --passwords FILE, then import what it prints"


def examine(patient: Patient) -> Iterator[Seen]:
    """Version, feature flags and alarms."""
    version = topology_apply.version_of(patient.config.amqp_url)
    if not OLDEST <= version < BEYOND:
        what = f"RabbitMQ {'.'.join(map(str, version))} is not what this was tested with (3.10 to 4.x)"
        yield Finding(what, "queue arguments and limits differ between versions", "upgrade the broker, or Preklic")
    management = Management(patient.config)
    if off := switched_off(management.get("feature-flags").value):
        why = "the next version of RabbitMQ refuses to start without them"
        yield Finding(f"feature flags are off: {', '.join(off)}", why, "rabbitmqctl enable_feature_flag all")
    if management.get("health/checks/alarms").status != 200:
        why = "the broker blocks whoever publishes until memory or disk is free"
        yield Finding("a resource alarm is on", why, "rabbitmqctl status; free disk or memory there")


def switched_off(flags: Iterable[Mapping[str, Any]]) -> list[str]:
    """The stable feature flags that are off. Pure."""
    return sorted(
        flag["name"]
        for flag in flags
        if flag["state"] == "disabled" and flag.get("stability") in {"stable", "required"}
    )


def topology(patient: Patient) -> Iterator[Seen]:
    """Exchanges, queues and bindings."""
    for one in topology_apply.check(patient.config.amqp_url):
        if not hidden(one):  # it is there; comparing more is for `topology check`
            yield Finding(f"{one.kind} {one.name} {one.problem}", _DRIFT, mend_of(one))
    for one in binding_drift.look(Management(patient.config)):
        why = _COPIES if one.problem == "extra" else _DRIFT
        yield Finding(f"binding {one.name} is {one.problem}", why, mend_of(one))


def hidden(finding: topology_apply.Finding) -> bool:
    """Whether it is there and this user may not see more of it (403)."""
    return finding.detail.startswith("ACCESS_REFUSED")


def mend_of(finding: topology_apply.Finding) -> str:
    """What to do about a difference. Pure."""
    if finding.problem == "missing":
        return "preklic topology apply"
    if finding.problem == "extra":
        return "delete it: rabbitmqadmin delete binding, or on the exchange's page of the management UI"
    return "its arguments are for ever: move its jobs, delete it, then preklic topology apply"


def permissions(patient: Patient) -> Iterator[Seen]:
    """Each user of a role may do what the role needs, and no more."""
    management = Management(patient.config)
    if role_of(patient.config.producer) not in ROLES and patient.config.environment == "production":
        mend = "give each role a user of its own: preklic topology definitions"
        yield Finding(f"this process is the user {patient.config.producer}, of no role", _TOO_MUCH, mend)
    plain = management.get(f"vhosts/{management.vhost}/permissions").value
    topics = management.get(f"vhosts/{management.vhost}/topic-permissions").value
    yield from compare_rights(plain, topics)


def compare_rights(plain: Iterable[Mapping[str, Any]], topics: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    """What users of our roles may do otherwise than their role says. Pure."""
    keys = {row["user"]: row["write"] for row in topics if row["exchange"] == JOBS}
    for row in plain:
        role = ROLES.get(role_of(row["user"]))
        if role is None:
            continue
        for right, wanted in wanted_of(role).items():
            if row[right] != wanted:
                what = f"the user {row['user']} may {right} {row[right]}, its role {wanted}"
                yield Finding(what, _TOO_MUCH, _GRANT.format(user=row["user"]))
        if (may := keys.get(row["user"], "every key")) != keys_of(role):
            what = f"the user {row['user']} may publish {may} to jobs, its role {keys_of(role)}"
            yield Finding(what, _TOO_MUCH, _GRANT.format(user=row["user"]))


def wanted_of(role: Role) -> dict[str, str]:
    """The three rights as the management API names them. Pure."""
    return {"configure": role.configure, "write": role.write, "read": role.read}


def ahead(patient: Patient) -> dt.timedelta | None:
    """How far the broker's clock is ahead of ours, to the second; None where it does not say."""
    answer = Management(patient.config).get("overview")
    return None if answer.date is None else answer.date - dt.datetime.now(dt.UTC)
