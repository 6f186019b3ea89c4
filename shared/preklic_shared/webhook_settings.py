"""Settings of the webhooks that providers call: each is there, or its path answers 404."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

Topic = Annotated[str, Meta(pattern=r"^arn:aws:sns:[a-z0-9-]{1,32}:[0-9]{1,20}:[A-Za-z0-9_.-]{1,256}$")]


class SesWebhook(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Amazon SES through SNS: the ARNs of the topics that are heard."""

    topics: Annotated[tuple[Topic, ...], Meta(min_length=1, max_length=64)]


class SendgridWebhook(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """SendGrid's signed event webhook: its verification key, as its console shows it (Base64 of a DER public key)."""

    public_key: Annotated[str, Meta(min_length=1, max_length=1000)]


class MailgunWebhook(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Mailgun: the file that holds the HTTP webhook signing key."""

    signing_key_file: Path


class PostmarkWebhook(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Postmark: the user name in the webhook's URL, and the file that holds the password."""

    username: Annotated[str, Meta(pattern=r"^[!-9;-~]{1,100}$")]
    password_file: Path


class Webhooks(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The providers that may report to the gateway."""

    ses: SesWebhook | None = None
    sendgrid: SendgridWebhook | None = None
    mailgun: MailgunWebhook | None = None
    postmark: PostmarkWebhook | None = None
