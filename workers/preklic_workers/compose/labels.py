"""What a mail says for those who report on it: header fields for the relay's provider, and where complaints go. Pure.

A provider that gives mails a Message-ID of its own, or forgets ours, repeats these fields in its webhooks
(`preklic_producers.feedback`). They hold the job's id and words of the settings. Each provider takes them out before
the mail goes on, so that no signature of ours covers them.

Sources: Amazon SES Developer Guide, "Publishing email sending events"; SendGrid, "X-SMTPAPI: Unique Arguments" and
"Filters"; Mailgun, "Sending via SMTP"; Postmark, "Send email with SMTP"; RFC 9477.
"""

from dataclasses import dataclass
from typing import Final

from preklic_shared.relay_settings import Relay, RelayProvider
from preklic_workers.compose.mails import Label

# The providers' own counting of opens and clicks asks nobody (U12), and would change the links that were read back.
_UNTRACKED: Final = b'"filters": {"clicktrack": {"settings": {"enable": 0}}, "opentrack": {"settings": {"enable": 0}}}'
_POSTMARK: Final[tuple[Label, ...]] = (
    ("X-PM-KeepID", b"true"),  # our signature covers the Message-ID
    ("X-PM-TrackOpens", b"false"),
    ("X-PM-TrackLinks", b"None"),
)


@dataclass(frozen=True, slots=True)
class Labels:
    """What one relay's provider asks for; nothing where there is none.

    `configuration_set` is of SES, `message_stream` of Postmark.
    """

    provider: RelayProvider | None = None
    configuration_set: str | None = None
    message_stream: str | None = None

    def fields(self, job: str) -> tuple[Label, ...]:
        """Names and values for the mail of this job.

        >>> Labels("ses", "main").fields("17")
        (('X-SES-CONFIGURATION-SET', b'main'), ('X-SES-MESSAGE-TAGS', b'job=17'))
        """
        mail = job.encode("ascii")
        match self.provider:
            case "ses":
                chosen = _named("X-SES-CONFIGURATION-SET", self.configuration_set)
                return (*chosen, ("X-SES-MESSAGE-TAGS", b"job=" + mail))
            case "sendgrid":
                return (("X-SMTPAPI", b'{"unique_args": {"job": "%s"}, %s}' % (mail, _UNTRACKED)),)
            case "mailgun":
                return ("X-Mailgun-Variables", b'{"job": "%s"}' % mail), ("X-Mailgun-Track", b"no")
            case "postmark":
                chosen = _named("X-PM-Message-Stream", self.message_stream)
                return (*chosen, ("X-PM-Metadata-job", mail), *_POSTMARK)
            case None:
                return ()


def _named(name: str, value: str | None) -> tuple[Label, ...]:
    return () if value is None else ((name, value.encode("ascii")),)


UNLABELLED: Final = Labels()


def labels_of(relay: Relay) -> Labels:
    """What the settings of a relay say of its provider."""
    return Labels(relay.provider, relay.configuration_set, relay.message_stream)


def complaints_to(mail_domain: str, sender: str) -> str | None:
    """The address of CFBL-Address (RFC 9477), or None where the field would count for nothing.

    Its domain is From's or below it, so that the signature of From's domain speaks for it too (3.1). Another domain
    would have to sign as well, which it cannot.

    >>> complaints_to("bounces.primer.si", "novice@primer.si")
    'fbl@bounces.primer.si'
    >>> complaints_to("notprimer.si", "novice@primer.si") is None
    True
    """
    mine, theirs = mail_domain.lower(), sender.rpartition("@")[2].lower()
    return f"fbl@{mail_domain}" if mine == theirs or mine.endswith(f".{theirs}") else None
