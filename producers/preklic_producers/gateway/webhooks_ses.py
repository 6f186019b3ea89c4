"""Amazon SES through SNS: signed with a key whose certificate SNS publishes on its own host."""

import asyncio
import datetime as dt
from collections import OrderedDict
from typing import Final

from cryptography import x509
from msgspec import ValidationError, convert

from preklic_producers.feedback import ses, sns
from preklic_producers.feedback.documents import document
from preklic_producers.feedback.heard import Heard, Ignored
from preklic_producers.feedback.ours import Ours
from preklic_producers.gateway.clients import Ceiling
from preklic_producers.gateway.fetching import Fetch, FetchError, fetch
from preklic_producers.gateway.webhook_source import Away, Forged, Posted
from preklic_shared.telemetry import logger
from preklic_shared.wire import Malformed

CERTIFICATES: Final = 16
FETCHES_A_MINUTE: Final = 30
_log = logger(__name__)


class Certificates:
    """SNS's certificates by URL: the last CERTIFICATES are kept, FETCHES_A_MINUTE are fetched at most."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, x509.Certificate] = OrderedDict()
        self._fetches = Ceiling(FETCHES_A_MINUTE)
        self._one = asyncio.Lock()

    async def get(self, url: str, fetch: Fetch) -> x509.Certificate:
        """The certificate at a pinned URL. Forged when it is none or of another time, Away when it is not to be had."""
        async with self._one:
            found = self._kept.get(url) or await self._fetched(url, fetch)
        if not sns.valid(found, dt.datetime.now(dt.UTC)):
            raise Forged("certificate")
        self._kept[url] = found
        self._kept.move_to_end(url)
        if len(self._kept) > CERTIFICATES:
            self._kept.popitem(last=False)
        return found

    async def _fetched(self, url: str, fetch: Fetch) -> x509.Certificate:
        if not self._fetches.below("certificates"):
            raise Away
        self._fetches.add("certificates")
        try:
            return x509.load_pem_x509_certificate(await fetch(url))
        except FetchError:
            raise Away from None
        except ValueError:
            raise Forged("certificate") from None


class Ses:
    """The notifications of `topics`. `fetch` gets certificates and confirms subscriptions."""

    def __init__(self, topics: tuple[str, ...], ours: Ours, fetch: Fetch = fetch) -> None:
        self.topics = frozenset(topics)
        self.fetch = fetch
        self._ours = ours
        self._certificates = Certificates()

    async def hear(self, posted: Posted) -> list[Heard]:
        """What a notification says. A subscription to one of our topics is confirmed."""
        note = _note(posted.body)
        # The topic before the certificate: a stranger makes nobody fetch anything.
        if not self.known(note):
            raise Forged("topic")
        if not sns.certificate_pinned(note.signing_cert_url):
            raise Forged("host")
        if not sns.signed(await self._certificates.get(note.signing_cert_url, self.fetch), note):
            raise Forged("signature")
        match note.type:
            case "Notification":
                return ses.read(note.message, self._ours)
            case "SubscriptionConfirmation":
                await self._confirm(note)
            case _:
                _log.warning("a topic of the provider no longer reports here", topic=note.topic_arn)
        return [Ignored(note.type)]

    def known(self, note: sns.Note) -> bool:
        """Whether the settings name this topic."""
        return note.topic_arn in self.topics

    def settle(self, posted: Posted, *, taken: bool) -> None:
        """Nothing is remembered: the ids make a repeat one."""

    async def _confirm(self, note: sns.Note) -> None:
        url = note.subscribe_url or ""
        if not sns.subscription_pinned(url):
            raise Forged("host")
        try:
            await self.fetch(url)
        except FetchError:
            raise Away from None
        _log.info("the subscription to a topic is confirmed", topic=note.topic_arn)


def _note(body: bytes) -> sns.Note:
    try:
        return convert(document(body), sns.Note)
    except (Malformed, ValidationError):
        raise Forged("malformed") from None
