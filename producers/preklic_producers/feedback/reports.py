"""One form for what every source reports about a mail, and the jobs that follow from it. Pure.

The words are anymail's: delivered, deferred, bounced, complained, opened, clicked, unsubscribed.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

from preklic_producers.drafts import REVOKE_LIFE, TRACK_LIFE, Drafter
from preklic_producers.outbox import Parcel
from preklic_shared.jobs import RevokeJob, TrackJob
from preklic_shared.status_codes import Bounced

Word = Literal["delivered", "deferred", "bounced", "complained", "unsubscribed"]


@dataclass(frozen=True, slots=True)
class Report:
    """What `source` (`smtp`, `ses`, `sendgrid`, `postmark`, `mailgun`) says of the mail `message`, our job id.

    `code` is an enhanced status code (RFC 3463) or empty; `bounce` is there for `bounced` and `deferred`. `key` makes
    a report that comes twice one: the source's own event id where it has one. `at` is when it happened (milliseconds)
    where the source says so: a report that comes late or again ends nothing that the person permitted since.
    """

    source: str
    word: Word
    message: str
    bounce: Bounced | None = None
    code: str = ""
    key: str = ""
    at: int | None = None


def jobs_of(report: Report, drafts: Drafter) -> list[Parcel]:
    """The track job, and before it the revocation where the report is a no, or says that the address is gone.

    A mailed unsubscribe ends the purpose of that mail, a complaint all marketing; a hard bounce leaves what law
    demands.
    """
    key = f"{report.source}:{report.key or f'{report.word}:{report.message}'}"
    parcels = []
    if (source := _NO.get(report.word)) is not None and (report.word != "bounced" or report.bounce == "hard"):
        fields: dict[str, Any] = {"purposes": "mail" if source == "one_click" else "all", "source": source}
        fields |= {"message": report.message, "said": report.at}
        parcels.append(drafts.bare(RevokeJob, REVOKE_LIFE, key, fields))
    if report.word != "unsubscribed":
        fields = {"event": report.word, "message": report.message, "bounce": report.bounce, "code": report.code or None}
        parcels.append(drafts.bare(TrackJob, TRACK_LIFE, key, fields))
    return parcels


_NO: Final = {"unsubscribed": "one_click", "complained": "complaint", "bounced": "bounce"}
