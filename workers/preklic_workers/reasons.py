"""Reason codes in words, for a person who asks why. A code that is not here is its own explanation."""

from collections.abc import Mapping
from typing import Final

MEANINGS: Final[Mapping[str, str]] = {
    "purpose_denied": "the purpose is not in the registry, is no mail, or does not own that template",
    "unknown": "nobody of that address is recorded, and the purpose needs a permission",
    "no_permission": "the person is known and never permitted this purpose",
    "pending": "the person has not confirmed the permission yet (double opt-in)",
    "withdrawn": "the person withdrew this purpose before the mail left",
    "objected": "the person objected to this purpose before the mail left",
    "erased": "the person was erased",
    "suppressed_erased": "the person was erased and has not said yes again",
    "suppressed_complaint": "the person reported a mail as unwanted; all that rests on consent has stopped",
    "suppressed_bounce": "the address does not exist any more",
    "cancelled": "a person cancelled it before its time",
    "too_far_ahead": "its `send_at` is further ahead than the key lives that it is sealed to",
    "expired": "the job was of no use any more when its turn came",
    "after_failed": "the job that it had to wait for was refused, expired or is dead",
    "idempotency_conflict": "another body was sent under the same idempotency key, or another campaign has this name",
    "undeliverable_smtputf8": "the address needs SMTPUTF8 and the relay does not offer it",
    "template_error": "the template could not be filled with what the job brought",
    "store_away": "MongoDB was away: no mail may leave without its gate",
    "copy_not_kept": "a hold asks for the octets of this mail, and they could not be kept: it waits",
    "lost_after_body": "the relay's answer to the whole mail was lost: it may have arrived",
    "earlier_hand_over": "an earlier attempt's conversation never ended: it may have arrived",
    "nothing_heard": "nobody reported anything within five days; it is never sent again",
    "left_to_a_person": "nobody knows whether it arrived, and its purpose leaves the answer to a person",
    "relay_log": "the relay's own log shows what became of it",
    "answered": "a person answered what had become of it",
    "withdrawals_late": "a gateway's mark or the queue of withdrawals is late: bulk mail waits until all are known",
    "channel_gone": "the worker had lost its broker channel; another one has the job",
    "lease_over": "the worker that held the mail did not settle it in time",
    "bad_envelope": "the body is no dramatiq message of ours",
    "bad_options": "the message asked for options that jobs may not choose",
    "unknown_actor": "no actor of that name takes jobs from this queue",
    "wrong_queue": "the job names another queue than the one it came from",
    "malformed": "a field of the job has the wrong type, or is missing or unknown",
    "too_large": "the body is larger than a job may be",
    "clock": "the job comes from more than five minutes ahead",
    "impostor": "the job names another producer than the user that published it",
    "altered": "a ciphertext does not open where it stands: it was moved, edited or cut; look into it",
    "unknown_wording": "the proof names a wording that the registry does not have in that language",
    "no_contract": "the purpose is for existing customers, and the proof is of no contract",
    "too_many_fields": "the person has as many fields in this group as one person may have",
    "newer_version": "a newer release published it, and no worker of that release took it in time",
    "key_gone": "the key that the job was sealed to has been destroyed, or was never this role's",
    "tampered": "the job's clear header was changed after sealing",
    "webhook_failed": "the receiver of this webhook did not take it within a day (preklic webhooks list)",
    "endpoint_unknown": "no [[webhooks_out]] of that name is in the settings of this worker",
    "endpoint_stopped": "the endpoint is stopped: by a person, or because it answered 410 Gone",
    "endpoint_busy": "the endpoint has as many requests under way as it may have",
    "bad_segment": "the segment of the campaign is none: a field or a value that there is not",
    "unknown_campaign": "there is no campaign of that name",
    "braked_later": "somebody paused or stopped the campaign after this was said; say it again if it is to go on",
    "unexpected": "the handler failed in a way that nobody foresaw; the log names the exception and where",
}


LONGEST: Final = 500  # characters of a person's reason


def given(text: str) -> str | None:
    """A person's reason as it may be recorded, None when it is empty, too long, or holds what may be an address.

    >>> given(" called us, case 17 "), given("ana@primer.example asked")
    ('called us, case 17', None)
    """
    trimmed = text.strip()
    return trimmed if 0 < len(trimmed) <= LONGEST and "@" not in trimmed and trimmed.isprintable() else None


def meaning(reason: str) -> str:
    """One sentence for a reason code; what follows a colon is detail.

    >>> meaning("unexpected:KeyError").startswith("the handler failed")
    True
    """
    code = reason.partition(":")[0]
    return MEANINGS.get(code, code.replace("_", " "))
