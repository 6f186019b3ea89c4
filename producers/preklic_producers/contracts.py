"""The last look at a job before it leaves: held to its own contract, encoded, within the broker's limit."""

import time
from typing import Any, TypeVar

import msgspec

from preklic_producers.fields import Rejected, json_object
from preklic_producers.outbox import Parcel
from preklic_shared import wordings
from preklic_shared.jobs import ACTORS, Job, Proof
from preklic_shared.joined import NoIpAddress, shortened
from preklic_shared.registry import Registry
from preklic_shared.wire import Malformed, convert, encode, limit_of

S = TypeVar("S", bound=msgspec.Struct)


def now_millis() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def parcel(job: Job, actor: str) -> Parcel:
    """The wire form; Rejected when the whole is larger than the broker takes."""
    body, limit = encode(job, actor), limit_of(ACTORS[actor][1])
    if len(body) > limit:
        raise Rejected("data", f"makes the job larger than {limit} octets")
    return Parcel(job.id, actor, body)


def checked(value: S, place: str = "") -> S:
    """A job or payload, held to its contract; Rejected names the field at fault."""
    return built(type(value), msgspec.to_builtins(value), place)


def built(kind: type[S], fields: dict[str, Any], place: str = "") -> S:
    """One of `kind` with these fields, held to its contract as it is made; Rejected names the field at fault."""
    try:
        return convert(fields, kind, place)
    except Malformed as error:
        raise Rejected(error.field or "request", "is not what this field takes") from None


def proof_of(proof: object, registry: Registry) -> Proof:
    """The proof of a grant; Rejected names its field."""
    if not isinstance(proof, Proof):
        raise Rejected("proof", "is not a Proof")
    if wordings.is_unknown(registry.wordings, checked(proof, "proof").wording, proof.language):
        raise Rejected("proof.wording", "names a wording that the registry does not have in that language")
    return proof


def joined(data: object) -> dict[str, Any]:
    """The fields of an enrichment with every IP address cut; Rejected names the field."""
    try:
        return shortened(json_object(data, "data"))
    except NoIpAddress as error:
        raise Rejected(f"data.{error.field}", "is no IP address") from None
