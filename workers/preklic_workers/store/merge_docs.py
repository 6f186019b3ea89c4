"""Two persons who turn out to be one: the stricter of their answers stands, for both. Pure.

A yes stands only where both said yes: an answer for one address is none for the other, and silence is no yes to what
needs one. Nothing is lifted, nothing deleted; what is joined to either (fields, address, keys) stays where it is.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from preklic_shared.registry import Purpose, Registry
from preklic_workers.permission import PermissionState, strictest
from preklic_workers.store.mongo import Doc
from preklic_workers.store.person_docs import place

_NOES = ("withdrawn", "objected")
_YESES = ("granted", "pending")


@dataclass(frozen=True, slots=True)
class Merge:
    """`source` is merged into `target` (both suppression hashes) by this job at `at`."""

    job: str
    source: str
    target: str
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class Merged:
    """What stands: the target's answers by purpose and switch, and which of its yeses ended."""

    answers: Mapping[str, PermissionState] = field(default_factory=dict)
    ended: Sequence[str] = ()


def refusal(merge: Merge, docs: Mapping[str, Doc]) -> str | None:
    """Why these two cannot be merged: `unknown`, `erased`, `merged_elsewhere`; None: they can, or are already."""
    source, target = docs.get(merge.source), docs.get(merge.target)
    if source is None or target is None:
        return "unknown"
    if source.get("erased") or target.get("erased"):
        return "erased"
    if "merged" in target or source.get("merged", merge.target) != merge.target:
        return "merged_elsewhere"
    return None


def is_done(merge: Merge, docs: Mapping[str, Doc]) -> bool:
    """Whether the source has been merged into the target; what its address said later is its own."""
    return docs.get(merge.source, {}).get("merged") == merge.target


def stricter(
    one: PermissionState | None, other: PermissionState | None, purpose: Purpose | None
) -> PermissionState | None:
    """The answer that stands, None for silence; `purpose` None is a tracking switch, or no longer registered.

    >>> stricter("granted", "withdrawn", None), stricter("granted", None, None), stricter(None, "objected", None)
    ('withdrawn', None, 'objected')
    """
    if one is not None and other is not None:
        return strictest([one, other])
    said = one or other
    silence_is_a_no = purpose is None or purpose.basis == "consent"
    return None if silence_is_a_no and said in _YESES else said


def uniting(target: Doc, source: Doc, registry: Registry, merge: Merge) -> Doc:
    """The target's update: the stricter answers, both persons' suppressions, and whatever names the source had."""
    seq = target["seq"] + 1
    permissions: Doc = {}
    for name in sorted({*target["permissions"], *source["permissions"]}):
        said = _united(target["permissions"].get(name), source["permissions"].get(name), _purpose(name, registry))
        if said is not None:
            permissions[name] = said if said == target["permissions"].get(name) else said | _mark(merge, seq)
    fields: Doc = {"permissions": permissions, "suppressed": _latest(target["suppressed"], source["suppressed"])}
    fields |= _latest(*({"no_at": doc["no_at"]} if "no_at" in doc else {} for doc in (target, source)))
    refs = sorted({*_refs(target), *_refs(source)})
    fields |= {"ref_hash": refs if len(refs) > 1 else refs[0]} if refs else {}
    return {"$set": fields | {"seq": seq}}


def leaving(source: Doc, registry: Registry, merge: Merge) -> Doc:
    """The source's update: a no to all that can be stopped and to all that it said yes to, and whom it is now."""
    seq = source["seq"] + 1
    names = {*source["permissions"], *(place(key) for key in registry.revocable)}
    said = {name: _ended(source["permissions"].get(name, {}), _purpose(name, registry), merge, seq) for name in names}
    gone: Doc = {"$unset": {"ref_hash": ""}} if "ref_hash" in source else {}
    return {"$set": {"permissions": said, "merged": merge.target, "seq": seq}} | gone


def merged(target: Doc, update: Doc) -> Merged:
    """What the target's update leaves of its answers."""
    after = {name.replace(":", "."): said["state"] for name, said in update["$set"]["permissions"].items()}
    before = {name.replace(":", "."): said["state"] for name, said in target["permissions"].items()}
    ended = [key for key, state in sorted(before.items()) if state in _YESES and after.get(key) != state]
    return Merged(after, ended)


def _united(own: Doc | None, other: Doc | None, purpose: Purpose | None) -> Doc | None:
    """One purpose's entry. What was ever withdrawn stays known: a yes older than that must not come back."""
    state = stricter(own["state"] if own else None, other["state"] if other else None, purpose)
    noes = [time for said in (own, other) if said is not None and (time := _no_of(said)) is not None]
    if state is None and not noes:
        return None
    whole = own if own is not None and own["state"] == state else other if other is not None else own
    assert whole is not None
    return whole | {"state": state or "withdrawn"} | ({"withdrawn": max(noes)} if noes else {})


def _no_of(said: Doc) -> dt.datetime | None:
    time: dt.datetime | None = said.get("withdrawn") or (said["at"] if said["state"] in _NOES else None)
    return time


def _ended(said: Doc, purpose: Purpose | None, merge: Merge, seq: int) -> Doc:
    objected = said.get("state") == "objected" or (purpose is not None and purpose.basis == "interest")
    return {"state": "objected" if objected else "withdrawn", "at": merge.at, "withdrawn": merge.at} | _mark(merge, seq)


def _mark(merge: Merge, seq: int) -> Doc:
    return {"job": merge.job, "seq": seq}


def _purpose(name: str, registry: Registry) -> Purpose | None:
    return registry.get(name.replace(":", "."))


def _latest(one: Mapping[str, dt.datetime], other: Mapping[str, dt.datetime]) -> dict[str, dt.datetime]:
    return {name: max(times[name] for times in (one, other) if name in times) for name in {*one, *other}}


def _refs(doc: Doc) -> Collection[str]:
    refs = doc.get("ref_hash", ())
    return (refs,) if isinstance(refs, str) else refs
