"""Jobs exactly as our own encoder writes them: read in one typed pass, and proved by writing them once more.

Whatever differs by an octet from what `encode` writes (blanks, another order, a name that stands twice, an escape that
need not be) may still be a job: `wire` reads that closely, and says what is wrong with it.
"""

from typing import Final

import msgspec

from preklic_shared.jobs import ACTORS, PAYLOADS, Job, Payload


class _Arguments(msgspec.Struct):
    job: msgspec.Raw


class _Envelope(msgspec.Struct):
    actor_name: str
    kwargs: _Arguments


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)
_JOBS: Final = {actor: msgspec.json.Decoder(kind) for actor, (kind, _) in ACTORS.items()}
_SEALED: Final = {kind: msgspec.json.Decoder(payload) for kind, payload in PAYLOADS.items()}
_ENCODER: Final = msgspec.json.Encoder()
_UNREAD: Final = (msgspec.MsgspecError, ValueError, RecursionError, OverflowError)


def encode(job: Job, actor: str) -> bytes:
    """The body of `job` for `actor`: a dramatiq message whose one argument is the job."""
    envelope = {
        "queue_name": ACTORS[actor][1],
        "actor_name": actor,
        "args": [],
        "kwargs": {"job": job},
        "options": {},
        "message_id": job.id,
        "message_timestamp": job.at,
    }
    return _ENCODER.encode(envelope)


def job_in(body: bytes, queue: str) -> tuple[str, Job] | None:
    """Actor and job of a body that `encode` wrote for this queue; None for anything else."""
    try:
        envelope = _ENVELOPE.decode(body)
        actor = envelope.actor_name
        if actor not in ACTORS or ACTORS[actor][1] != queue:
            return None
        job = _JOBS[actor].decode(envelope.kwargs.job)
    except _UNREAD:
        return None
    return (actor, job) if encode(job, actor) == body else None


def payload_in(kind: type[Job], data: bytes) -> Payload | None:
    """The payload that a job of `kind` sealed, where it stands there as `Sealer.seal` writes it; else None."""
    try:
        payload = _SEALED[kind].decode(data)
        return payload if _ENCODER.encode(payload) == data else None
    except _UNREAD:
        return None
