"""What is asked of a campaign: to start, pause, go on or stop. Its content and the reasons people give ride sealed."""

from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta, Struct

from preklic_shared.job_fields import END, Job, KeyId, Millis, Purpose, Sealed, Template
from preklic_shared.segments import MOST_CHARACTERS

CampaignName = Annotated[str, Meta(pattern=rf"^[a-z0-9][a-z0-9_-]{{0,59}}{END}")]
Act = Literal["start", "pause", "resume", "stop"]
Count = Annotated[int, Meta(ge=1, le=999)]
MOST_RATE = 100_000


class CampaignJob(Job, frozen=True, kw_only=True):
    """One act upon the campaign of that name; `purpose` and `template` are of a start."""

    KIND: ClassVar[str] = "campaign"

    campaign: CampaignName
    act: Act
    purpose: Purpose | None = None
    template: Template | None = None
    key: KeyId
    sealed: Sealed


class CampaignPayload(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an act seals: of a start all but `reason`, of any other act that alone.

    `data` fills in the template. `at` is when to begin (milliseconds), at once without it; with `local` it is a wall
    clock read as if it were UTC, and each person gets the mail when their own clock shows it. `rate` in mails a second,
    0: as fast as it goes. `cap`: who got so many campaigns' mails within so many days is left out.
    """

    data: dict[str, Any] = {}
    segment: Annotated[str, Meta(max_length=MOST_CHARACTERS)] = ""
    at: Millis | None = None
    local: bool = False
    rate: Annotated[float, Meta(ge=0, le=MOST_RATE)] = 0.0
    cap: tuple[Count, Count] | None = None
    reason: Annotated[str, Meta(max_length=500)] = ""
