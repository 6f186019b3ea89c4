"""Questions that only the store can answer: the job that asks, and what it seals."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta, Struct

from preklic_shared.campaign_jobs import CampaignName
from preklic_shared.job_fields import Day, Job, JobId, KeyId, Pid, Sealed, Template


class AskJob(Job, frozen=True, kw_only=True):
    """A question that only the store can answer; the answer comes over direct reply-to.

    `statistics` asks about the campaign `template` of a partner, from day `since` to day `until` (U4); `campaign` how
    far the one of that name is, `campaigns` which there are.
    """

    KIND: ClassVar[str] = "ask"

    question: Literal["customer", "status", "preferences", "statistics", "campaign", "campaigns"]
    message: JobId | None = None
    person: Pid | None = None
    template: Template | None = None
    since: Day | None = None
    until: Day | None = None
    campaign: CampaignName | None = None
    key: KeyId | None = None
    sealed: Sealed | None = None


class AskPayload(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a question seals."""

    address: Annotated[str, Meta(max_length=320)]
