"""Who runs against whom, and the rows of the targets."""

from collections.abc import Callable, Mapping
from functools import partial

from bench import ours, theirs
from bench.contest import Contender
from bench.ground import Ground
from bench.growth import Grown
from bench.lag import ToLedger
from bench.latency import ToData, ToRecord
from bench.life import Endurance, Idle
from bench.report import Limit, Row

Factory = Callable[[Ground], Contender | Endurance | Idle | ToData | ToRecord | ToLedger | Grown]

# In the order of their turns; `guess` is in jobs a second and bounds how many jobs are laid ready.
GROUPS: Mapping[str, Mapping[str, Factory]] = {
    "publish": {
        "preklic send_many": lambda ground: ours.publish(ground, "producer"),
        "pika, confirm each": theirs.pika_publish,
        "dramatiq, confirm each": theirs.dramatiq_publish,
        "preklic, sealed before": lambda ground: ours.publish(ground, "broker"),
    },
    "noop": {
        "preklic 1x64": lambda ground: ours.noop(ground, 64),
        "dramatiq async 1x32": lambda ground: theirs.dramatiq(ground, "noop", 5000, processes=1, threads=32),
        "celery": lambda ground: theirs.celery(ground, "noop", 3500),
        "faststream": lambda ground: theirs.faststream(ground, "noop", 6000, processes=1),
    },
    "send": {
        "preklic 2 processes": lambda ground: ours.send(ground, 2),
        "celery, EmailMessage": lambda ground: theirs.celery(ground, "send_message", 600),
        "celery, our bytes": lambda ground: theirs.celery(ground, "send_bytes", 900),
        "dramatiq async 2x32": lambda ground: theirs.dramatiq(ground, "send_bytes", 1000, processes=2, threads=32),
        "faststream, 2 processes": lambda ground: theirs.faststream(ground, "send_bytes", 1200, processes=2),
        "preklic, DKIM": lambda ground: ours.signed(ground, 2),
        "preklic ungated": lambda ground: ours.ungated(ground, 2),
    },
    "share": {
        "preklic 1 process": lambda ground: ours.send(ground, 1),
        "raw aiosmtplib pool": theirs.raw_smtp,
    },
    "track": {
        "preklic 2 processes": lambda ground: ours.track(ground, 2),
        "dramatiq 2x8, insert_one": lambda ground: theirs.dramatiq(ground, "track", 2500, processes=2, threads=8),
        "pika, insert_many": lambda ground: theirs.pika_track(ground, 27_000, processes=2),
    },
    "click": {
        "preklic gateway": ours.click,
        "starlette, empty": theirs.empty_site,
    },
    "scale": {f"preklic {count} processes": partial(ours.send, processes=count) for count in (1, 2, 4)},
    "growth": {
        "preklic, 1,000 messages": lambda ground: ours.grown(ground, 1000),
        "preklic, many messages": lambda ground: ours.grown(ground, None),
    },
    "ledger": {
        "preklic, in its ledger": lambda ground: ours.recorded_in_ledger(ground, 2),
        "preklic, no ledger": lambda ground: ours.leafless(ground, 2),
        "preklic, lag": ours.lag,
    },
    "latency": {
        "preklic payment": ours.payment,
        "preklic click": ours.recorded,
    },
    "life": {
        "preklic, idle": ours.idle,
        "preklic, long run": ours.endurance,
    },
}

# A long run is long enough once.
ONCE = frozenset({"life"})

_SEND, _CLICK = "preklic 2 processes", "preklic gateway"

ROWS = (
    Row(
        "send_many, all of it, / a confirm per message",
        "publish",
        "preklic send_many",
        "pika, confirm each",
        "times",
        5,
        12,
    ),
    Row(
        "send_many, broker only, / a confirm per message",
        "publish",
        "preklic, sealed before",
        "pika, confirm each",
        "times",
        5,
        12,
    ),
    Row("no-op job / stock dramatiq async 1x32", "noop", "preklic 1x64", "dramatiq async 1x32", "times", 2, 4.5),
    Row("gated send / Celery, EmailMessage", "send", _SEND, "celery, EmailMessage", "times", 3, 8),
    Row("gated send / Celery, our bytes", "send", _SEND, "celery, our bytes", "times", 1.5, 4),
    Row("gated send / stock dramatiq async, our bytes", "send", _SEND, "dramatiq async 2x32", "times", 1.5, 4),
    Row("gated send / FastStream, our bytes", "send", _SEND, "faststream, 2 processes", "times", None, None),
    Row("what claim, gate and settle cost", "send", _SEND, "preklic ungated", "cost", 2, 1.35),
    Row("what DKIM (RSA-2048) costs", "send", "preklic, DKIM", _SEND, "cost", None, 1.3),
    Row(
        "what 1,000,000 recorded messages cost (1,000: 1)",
        "growth",
        "preklic, many messages",
        "preklic, 1,000 messages",
        "cost",
        None,
        1.1,
    ),
    Row(
        "what the ledger costs a mail",
        "ledger",
        "preklic, in its ledger",
        "preklic, no ledger",
        "cost",
        1.2,
        1.1,
    ),
    Row(
        "gated send as a share of a raw aiosmtplib pool",
        "share",
        "preklic 1 process",
        "raw aiosmtplib pool",
        "share",
        0.12,
        0.35,
    ),
    Row("track / stock dramatiq, insert_one", "track", _SEND, "dramatiq 2x8, insert_one", "times", 5, 15),
    Row("track as a share of pika and insert_many", "track", _SEND, "pika, insert_many", "share", 0.25, 0.65),
    Row("click over HTTP as a share of an empty Starlette", "click", _CLICK, "starlette, empty", "share", 0.15, 0.3),
)

LIMITS = (
    Limit("a payment mail behind bulk mail, to DATA, p99 in ms", "latency", "preklic payment", "p99", 1000, 1000),
    Limit("a click among very many, to its record, p99 in ms", "latency", "preklic click", "p99", 2000, 2000),
    Limit("1,000 records a second, to their places in the ledger, p99 ms", "ledger", "preklic, lag", "p99", 1000, 1000),
    Limit("octets of the ledger for a record", "ledger", "preklic, lag", "octets", 1000, 800),
    Limit("us of CPU to verify a leaf", "ledger", "preklic, lag", "verify_us", 4, 3),
    Limit("memory of a worker after 1,000,000 jobs, MB", "life", "preklic, long run", "all_mb", 120, 90),
    Limit("its growth since the first tenth of them, %", "life", "preklic, long run", "growth", 10, 5),
    Limit("an idle worker, % of a core", "life", "preklic, idle", "percent", 2, 0.5),
)
