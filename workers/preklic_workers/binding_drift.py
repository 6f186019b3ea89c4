"""Bindings that are missing on the broker, and such as nobody declared: those copy jobs to where they do not belong."""

from collections.abc import Iterable, Mapping
from typing import Any

from preklic_shared.topology import EXCHANGES, bindings
from preklic_shared.topology_apply import Finding
from preklic_workers.management import Management

_Key = tuple[str, str, str, str]


def look(management: Management) -> list[Finding]:
    """How the broker's bindings differ. Raises NoManagement."""
    return compare(management.get(f"bindings/{management.vhost}").value)


def compare(rows: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """What the rows of the management API lack, and what they have too much. Pure."""
    wanted = {_key(one.exchange, one.queue, one.key, one.arguments) for one in bindings()}
    ours = {exchange.name for exchange in EXCHANGES}
    there = {
        _key(row["source"], _target(row), row["routing_key"], row.get("arguments") or {})
        for row in rows
        if row["source"] in ours
    }
    missing = [Finding("binding", _name(key), "missing", "") for key in sorted(wanted - there)]
    extra = [Finding("binding", _name(key), "extra", "nobody declared it here") for key in sorted(there - wanted)]
    return missing + extra


def _target(row: Mapping[str, Any]) -> str:
    name: str = row["destination"]
    return name if row.get("destination_type") == "queue" else f"exchange {name}"


def _key(exchange: str, target: str, key: str, arguments: Mapping[str, Any]) -> _Key:
    return exchange, target, key, " ".join(f"{name}={value}" for name, value in sorted(arguments.items()))


def _name(key: _Key) -> str:
    exchange, target, routing_key, arguments = key
    return f"{exchange} -> {target}" + "".join(f" ({part})" for part in (routing_key, arguments) if part)
