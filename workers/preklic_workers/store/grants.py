"""Grants: a yes with its proof, judged against the last no (law 5) and recorded once."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from preklic_shared.addresses import Address
from preklic_shared.registry import Purpose
from preklic_workers.permission import grant_counts
from preklic_workers.proving import Proven
from preklic_workers.store.mongo import Doc
from preklic_workers.store.person_docs import place
from preklic_workers.store.persons import Persons
from preklic_workers.store.proofs import Proofs, confirmed

GrantState = Literal["granted", "pending", "kept", "after_withdrawal", "erased"]
# A request that is not confirmed lifts these at most: the one confirmation mail must be able to reach the person.
_LIFTED_BY_ASKING: Final = ("erased", "bounce")
_LIFTED_BY_YES: Final = ("erased", "bounce", "complaint")


@dataclass(frozen=True, slots=True)
class Grant:
    """A yes of `subject` to `purposes`. `at` is the event's time; `token_at` when the token that it confirms was made.

    `confirmed`: the person proved that the address is theirs. `imported`: it comes from a list, and the strictest
    answer counts. `switches` are those beside the purposes; `proof` is kept encrypted, `proven` in the clear beside it.
    """

    job: str
    subject: str
    purposes: Sequence[Purpose]
    at: dt.datetime
    proof: Mapping[str, Any]
    address: Address | None = None
    token_at: dt.datetime | None = None
    confirmed: bool = False
    imported: bool = False
    ref: str | None = None
    switches: Sequence[str] = field(default_factory=tuple)
    proven: Proven | None = None


class Grants:
    """Records grants. All methods raise `Unavailable`; `NoKey` when this role holds no key for them."""

    def __init__(self, persons: Persons, proofs: Proofs) -> None:
        self._persons = persons
        self._proofs = proofs

    async def grant(self, grant: Grant) -> dict[str, GrantState]:
        """What became of each purpose. The same job twice is once."""
        contact: Doc = {}
        if grant.address is not None:
            contact = await self._persons.contact_fields(grant.subject, grant.address, grant.ref)
        states: dict[str, GrantState] = {}

        def decide(doc: Doc) -> Doc | None:
            states.clear()
            states.update(judge(doc, grant))
            return granting(doc, grant, states, contact)

        await self._persons.change(grant.subject, decide)
        await self._prove(grant, states)
        await self._persons.finish(grant.subject)
        return states

    async def _prove(self, grant: Grant, states: Mapping[str, GrantState]) -> None:
        if all(state == "erased" for state in states.values()):
            return
        row: Doc = {"person": grant.subject, "at": grant.at}
        if grant.confirmed:
            row["confirmed"] = confirmed(grant.at, grant.token_at)
        await self._proofs.keep(grant.job, row, states, grant.proof, grant.proven)


def judge(doc: Doc, grant: Grant) -> dict[str, GrantState]:
    """What this grant becomes for each of its purposes, by the person's document. Pure."""
    keys = {purpose.key: purpose for purpose in grant.purposes} | dict.fromkeys(grant.switches)
    if grant.address is None and doc.get("contact") is None:
        return dict.fromkeys(keys, "erased")
    return {key: _judge_one(doc, grant, key, purpose) for key, purpose in keys.items()}


def _judge_one(doc: Doc, grant: Grant, key: str, purpose: Purpose | None) -> GrantState:
    said = doc["permissions"].get(place(key))
    if said is not None and said["job"] == grant.job:
        return "granted" if said["state"] == "granted" else "pending"
    by_contract = purpose is not None and not purpose.needs_known_person
    if not by_contract:
        if grant.imported and (said is not None or doc["suppressed"]):
            return "kept"
        if not grant_counts(grant.at, last_no(doc, key), grant.token_at):
            return "after_withdrawal"
    if said is not None and said["state"] == "granted" and said["at"] >= grant.at:
        return "kept"
    asks_first = purpose is not None and purpose.double_opt_in and not grant.confirmed
    if asks_first:
        return "kept" if said is not None and said["state"] == "granted" else "pending"
    return "granted"


def last_no(doc: Doc, key: str) -> dt.datetime | None:
    """The latest withdrawal of this purpose, or of everything."""
    said = doc["permissions"].get(place(key), {})
    suppressed = doc["suppressed"]
    times = [said.get("withdrawn"), doc.get("no_at"), suppressed.get("erased"), suppressed.get("complaint")]
    return max((time for time in times if time is not None), default=None)


def granting(doc: Doc, grant: Grant, states: Mapping[str, GrantState], contact: Doc) -> Doc | None:
    """The update that records `states`, None when nothing changes. Pure."""
    new: dict[str, GrantState] = {key: state for key, state in states.items() if state in {"granted", "pending"}}
    new = {key: state for key, state in new.items() if doc["permissions"].get(place(key), {}).get("job") != grant.job}
    if not new:
        return None
    fields: Doc = dict(contact) | {"erased": False}
    for key, state in new.items():
        said: Doc = {"state": state, "at": grant.at, "job": grant.job, "seq": doc["seq"] + 1}
        kept = {"withdrawn": last_no(doc, key), "token": grant.token_at}
        said |= {name: value for name, value in kept.items() if value is not None}
        fields[f"permissions.{place(key)}"] = said
    lifted = _lifted(doc, grant, new)
    return {"$set": fields} | ({"$unset": {f"suppressed.{kind}": "" for kind in lifted}} if lifted else {})


def _lifted(doc: Doc, grant: Grant, new: Mapping[str, GrantState]) -> list[str]:
    """The suppressions that end with this yes: a contract ends none, an unconfirmed request not a complaint."""
    personal = {purpose.key for purpose in grant.purposes if purpose.needs_known_person}
    said = {state for key, state in new.items() if key in personal}
    kinds = _LIFTED_BY_YES if "granted" in said else _LIFTED_BY_ASKING if "pending" in said else ()
    suppressed = doc["suppressed"]
    return [k for k in kinds if k in suppressed and grant_counts(grant.at, suppressed[k], grant.token_at)]
