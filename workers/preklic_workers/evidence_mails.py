"""What of a mail itself goes into a bundle of evidence: its octets as sent, and the DNS records of its signatures."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from preklic_shared.registry import Registry
from preklic_workers import dkim_keys
from preklic_workers.compose.verify import split_header
from preklic_workers.dkim_keys import DkimKey
from preklic_workers.evidence_scope import Scope
from preklic_workers.ledger.verify import canonical
from preklic_workers.opening import EVIDENCE
from preklic_workers.store import Store

_TAG: Final = re.compile(rb"(?:^|;)\s*([ds])=([^;\s]+)")
_STRING: Final = re.compile('"([^"]*)"')


async def octets_of(store: Store, scope: Scope, registry: Registry) -> dict[str, bytes]:
    """The kept octets of the scope's mails as `mails/JOB.EPOCH.eml`; none where the policy opens no address for it.

    Raises Altered, Unavailable.
    """
    if not registry.may_open("contact", EVIDENCE):
        return {}
    found = await store.holds.copies.of(scope.persons, scope.mails)
    return {f"mails/{one.mail}.{one.epoch}.eml": one.octets for one in found}


def records_of(mails: Mapping[str, bytes], keys: Iterable[DkimKey]) -> bytes:
    """`dkim.json`: each key's TXT record (RFC 6376 3.6.1) by its name in the DNS, and the mails that it signed.

    A record is null where a mail names a key that is not at hand.
    """
    records = {key.name: "".join(_STRING.findall(key.record())) for key in keys}
    signed: dict[str, list[str]] = {name: [] for name in records}
    for file, octets in sorted(mails.items()):
        for name in signers(octets):
            signed.setdefault(name, []).append(file)
    listed: dict[str, Any] = {name: {"record": records.get(name), "mails": those} for name, those in signed.items()}
    return canonical(listed)


def signers(octets: bytes) -> Iterator[str]:
    """Where the public keys of a mail's signatures stand in the DNS, as its fields DKIM-Signature say."""
    for name, value in split_header(octets.partition(b"\r\n\r\n")[0]) or ():
        tags = dict(_TAG.findall(value)) if name.lower() == "dkim-signature" else {}
        if len(tags) == 2:
            yield f"{tags[b's'].decode('ascii', 'replace')}._domainkey.{tags[b'd'].decode('ascii', 'replace')}"


def keys_at_hand(root: Path | None) -> Sequence[DkimKey]:
    """The keys below the root of all keys: those that sign, and those that do so no more (`keys dkim retire`)."""
    folders = [] if root is None else [root / "send", root / "dkim"]
    return [dkim_keys.read(path) for folder in folders for path in sorted(folder.glob("*._domainkey.*.pem"))]
