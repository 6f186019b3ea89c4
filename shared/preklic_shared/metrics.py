"""Every metric, declared once: its name, what it means, and when to page. Needs the extra `gateway` or `workers`.

No address, name or subject line stands in a label, and every label has few values: reasons are codes.
"""

from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
REGISTRY: Final = CollectorRegistry()

JOBS: Final = Counter(
    "preklic_jobs",
    "Jobs that ended, by queue, outcome (done, refused, retry, dead) and reason code. "
    "Page when dead grows by more than 10 in 5 minutes, or a reason nobody knows leads the refusals.",
    ("queue", "outcome", "reason"),
    registry=REGISTRY,
)
JOB_SECONDS: Final = Histogram(
    "preklic_job_seconds",
    "Seconds from the delivery of a job to its settlement. Page when p99 of send.now is over 30 for 10 minutes.",
    ("queue",),
    buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120, 600),
    registry=REGISTRY,
)
QUEUE_AGE: Final = Gauge(
    "preklic_queue_age_seconds",
    "How long the head of a queue has waited, by queue, as upkeep's probes find it: it grows while nobody takes from "
    "it, and while the broker cannot be asked. Take the maximum over all upkeeps; scale a role by it. "
    "Page when revoke is over 60 (bulk sending closes then), or send.now over 300.",
    ("queue",),
    registry=REGISTRY,
)
WITHDRAWAL_EFFECT: Final = Histogram(
    "preklic_withdrawal_effect_seconds",
    "Seconds from the acceptance of a withdrawal to the closed gate. Page when p99 is over 5 for 5 minutes.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15, 60, 300),
    registry=REGISTRY,
)
JOBS_UNACCOUNTED: Final = Gauge(
    "preklic_jobs_unaccounted",
    "Jobs in the log that are nowhere, at the last account of the recent log and of the closed hours. "
    "Page when it is not 0 for 15 minutes.",
    registry=REGISTRY,
)
IN_DOUBT: Final = Gauge(
    "preklic_in_doubt",
    "Mails whose hand-over ended unknown and that nobody resolved. Page when it is over 50, or grows for an hour.",
    registry=REGISTRY,
)
ASKED: Final = Gauge(
    "preklic_in_doubt_asked",
    "Those of the mails in doubt that wait for a person's answer (preklic doubt list). "
    "Page when it is not 0 for a working day.",
    registry=REGISTRY,
)
DEAD: Final = Gauge(
    "preklic_dead",
    "Dead letters that wait for a person, by fingerprint of queue, actor, reason and place; the smallest as `other`. "
    "Page when any of the queue revoke is there: all marketing stands still until it is resolved.",
    ("fingerprint",),
    registry=REGISTRY,
)
DEAD_REVOCATIONS: Final = Gauge(
    "preklic_dead_revocations",
    "Dead letters from the queue revoke that wait for a person: each may be a no that nobody has applied, so all "
    "marketing stands still. Page when it is not 0.",
    registry=REGISTRY,
)
STOPPED: Final = Gauge(
    "preklic_stopped",
    "Kill switches that are on (all, marketing, purpose:<key>, relay:<name>, campaign:<name>), 1 for each. "
    "Page when all or marketing is there, or any that nobody ordered.",
    ("switch",),
    registry=REGISTRY,
)
PAUSED: Final = Gauge(
    "preklic_paused",
    "Queues that this worker takes no jobs from (1): an operator paused them (preklic queues says who and why), or the "
    "switches cannot be read. Page when it is 1 for an hour, or on a queue that nobody paused.",
    ("queue",),
    registry=REGISTRY,
)
EPOCH_AGE: Final = Gauge(
    "preklic_epoch_age_seconds",
    "Age of the oldest current epoch key, where upkeep has the root of all keys: so long ago a person may have been "
    "erased whose key a backup could still open. Page when over 33 days: erasure is final within 35.",
    registry=REGISTRY,
)
SEALING_LEFT: Final = Gauge(
    "preklic_sealing_left_seconds",
    "Seconds until the signed file of public sealing keys expires; producers then refuse to publish. "
    "Page when under a day: preklic keys rotate, or keys publish, and copy the file to the producers.",
    registry=REGISTRY,
)
OUTBOX_AGE: Final = Gauge(
    "preklic_outbox_age_seconds",
    "Age of the oldest job in this process's outbox: how long a no may have waited unseen. Page when over 60.",
    registry=REGISTRY,
)
OUTBOX_JOBS: Final = Gauge(
    "preklic_outbox_jobs",
    "Jobs in this process's outbox. Page when the outbox is more than half full: track jobs are dropped then.",
    registry=REGISTRY,
)
TRACK_EVENTS: Final = Counter(
    "preklic_track_events",
    "Opens, clicks and feedback recorded, by kind and verdict (human, prefetch, scanner, unknown, refused, repeated). "
    "Page when it is 0 for an hour in which mail went out.",
    ("kind", "verdict"),
    registry=REGISTRY,
)
TRACK_DROPPED: Final = Counter(
    "preklic_track_dropped",
    "Opens and clicks that a gateway dropped because its outbox was half full. Page when it grows at all.",
    registry=REGISTRY,
)
WEBHOOK_EVENTS: Final = Counter(
    "preklic_webhook_events",
    "Events that providers reported to this gateway, by source and verdict: taken, ignored (opens, clicks, what says "
    "nothing about a mail's end), set_aside (kept for a person to look at), repeated, forged, away (the provider tries "
    "again). Page when forged grows for 10 minutes (a key was turned on one side alone, or somebody tries), or when "
    "set_aside is over 5 % of taken.",
    ("source", "verdict"),
    registry=REGISTRY,
)
FEEDBACK: Final = Counter(
    "preklic_feedback_mails",
    "Mails that came back to the feedback listener, by verdict: a word (bounced, deferred, delivered, complained, "
    "unsubscribed), ignored (out of office), set_aside (kept for a person to look at), refused (no such address, or a "
    "wrong seal), away (the sender tries again). Page when bounced is over 5 % of what was sent, or away grows.",
    ("verdict",),
    registry=REGISTRY,
)
REVIEW_DUE: Final = Gauge(
    "preklic_review_due",
    "Persons of whom nothing was heard for as long as the registry keeps an address (preklic subject review), "
    "counted once a day. Page when it is not 0 for a month.",
    registry=REGISTRY,
)
RELAY_REPLIES: Final = Counter(
    "preklic_relay_replies",
    "SMTP replies by relay and class (2xx, 4xx, 5xx, lost, tls). "
    "Page when 2xx is under half of all for 10 minutes, or tls grows.",
    ("relay", "class"),
    registry=REGISTRY,
)
RELAY_OPEN: Final = Gauge(
    "preklic_relay_open",
    "Relays that this process has set aside because they do not answer (1), and those that answer again (0). "
    "Page when it is 1 for 10 minutes.",
    ("relay",),
    registry=REGISTRY,
)

WEBHOOK_GAPS: Final = Counter(
    "preklic_webhook_gaps",
    "Times that the reader of changes had lost its place in the database's own log, and read the records instead "
    "(act webhook_gap). Page when it grows: changes in between that others overwrote were not told.",
    registry=REGISTRY,
)
LEDGER_LEAVES: Final = Counter(
    "preklic_ledger_leaves",
    "Records put into the ledger. Page when none for an hour while mail goes out.",
    registry=REGISTRY,
)
LEDGER_LAG: Final = Gauge(
    "preklic_ledger_lag_seconds",
    "How long the oldest record waits for its place in the ledger. Page when over 60.",
    registry=REGISTRY,
)
STAMPS: Final = Counter(
    "preklic_stamps",
    "Answers of the time-stamping authority by outcome: kept, away, or why it was refused. Page when it refuses again "
    "and again.",
    ("outcome",),
    registry=REGISTRY,
)
STAMP_OVERDUE: Final = Gauge(
    "preklic_stamp_overdue_seconds",
    "How long a time stamp of the ledger is overdue, beyond its interval; 0 without an authority. Page when over 7200.",
    registry=REGISTRY,
)
WITNESS_BEHIND: Final = Gauge(
    "preklic_witness_behind",
    "Signed heads that the witness's copy lacks; without end when it has another head of this ledger. "
    "Page when over 10.",
    registry=REGISTRY,
)
COSIGNATURES: Final = Counter(
    "preklic_cosignatures",
    "Heads of the ledger submitted to a witness that signs them, by outcome: kept, away, refused, unsigned. "
    "Page when refused grows: the witness knows another ledger.",
    ("outcome",),
    registry=REGISTRY,
)
COSIGNER_BEHIND: Final = Gauge(
    "preklic_cosigner_behind",
    "Signed heads that the signing witness lacks; without end when it refuses this ledger. Page when over 60.",
    registry=REGISTRY,
)
WEBHOOK_LAG: Final = Gauge(
    "preklic_webhook_lag_seconds",
    "How far the reader of changes is behind, in the upkeep that holds its lease. Page when over 600.",
    registry=REGISTRY,
)


def exposition() -> bytes:
    """All metrics in Prometheus's text format, of the type CONTENT_TYPE."""
    return generate_latest(REGISTRY)


def label(reason: str) -> str:
    """A reason as a label: the code before any colon, at most 40 characters, so that labels stay few.

    >>> label("unexpected:ValueError"), label("")
    ('unexpected', 'none')
    """
    return reason.partition(":")[0][:40] or "none"
