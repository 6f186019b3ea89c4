"""The relays as a worker would meet them: under contract, reached, and secured. No mail is begun."""

import asyncio
import datetime as dt
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

import aiosmtplib

from preklic_shared.relay_settings import Relay
from preklic_shared.settings import Settings
from preklic_workers.doctor.finding import Finding, Patient
from preklic_workers.smtp.routes import contracted, days_left

SECONDS: Final = 5.0  # for one relay, however slowly it answers
WARN_DAYS: Final = 30
_CERTIFICATE_DAYS: Final = 14
_NO_MAIL: Final = "no mail leaves by this relay; its mails wait or take another one"


def contracts(patient: Patient) -> Iterator[Finding]:
    """Each relay's processor is under contract today (U8)."""
    config, today = patient.config, dt.datetime.now(dt.UTC).date()
    companies = {processor.name: processor for processor in config.processors}
    if not config.relays:
        yield Finding("there is no relay", "no mail can leave", "name one in [[relays]], its company in [[processors]]")
    for relay in config.relays:
        company = companies.get(relay.processor)
        if company is None or not contracted(company, today):
            what = f"the relay {relay.name} has no processor under contract today"
            yield Finding(
                what, "clause U8: it gets no mail", "mend [[processors]]: name, contract, valid_from, valid_to"
            )
        elif (left := days_left(company, today)) < WARN_DAYS:
            what = f"the contract with {company.name} ends in {left} days"
            yield Finding(what, f"then {relay.name} sends nothing", "renew it, and set valid_to in [[processors]]")


def examine(patient: Patient) -> Iterator[Finding]:
    """Contracts, and a greeting with each relay, all at once."""
    yield from contracts(patient)
    for found in asyncio.run(_meet_all(patient.config)):
        yield from found


async def _meet_all(config: Settings) -> list[list[Finding]]:
    return await asyncio.gather(*(meet(relay, config.mail_domain) for relay in config.relays))


async def meet(relay: Relay, helo: str, *, seconds: float = SECONDS) -> list[Finding]:
    """What is wrong with a relay's greeting, within so many seconds."""
    place = f"the relay {relay.name} ({relay.host}:{relay.port})"
    client = aiosmtplib.SMTP(
        hostname=relay.host, port=relay.port, local_hostname=helo, start_tls=False, timeout=seconds
    )
    try:
        async with asyncio.timeout(seconds):
            await client.connect()
            await client.ehlo()
            found = await _secured(relay, client, place)
            with suppress(aiosmtplib.SMTPException):  # however it says good-bye
                await client.quit()
            return found
    except (TimeoutError, aiosmtplib.SMTPException, OSError) as error:
        return [_fault(error, relay, place, seconds)]
    finally:
        client.close()


def _fault(error: Exception, relay: Relay, place: str, seconds: float) -> Finding:
    match error:
        case TimeoutError() | aiosmtplib.SMTPTimeoutError():
            what, mend = f"did not answer within {seconds:.0f} s", "is it slow, or does a firewall drop?"
        case ssl.SSLCertVerificationError():
            what = f"cannot prove itself: {error.verify_message}"
            mend = "renew its certificate, name a host that it has, or set ca_file in [[relays]]"
        case ssl.SSLError():
            what, mend = f"fails at TLS: {error.reason}", "it must speak TLS 1.2 or newer"
        case _:
            what = f"cannot be spoken to: {type(error).__name__}"
            mend = f"is it running, and may this host reach it? try: nc -vz {relay.host} {relay.port}"
    return Finding(f"{place} {what}", _NO_MAIL, mend)


async def _secured(relay: Relay, client: aiosmtplib.SMTP, place: str) -> list[Finding]:
    if relay.tls == "off":
        return []
    if not client.supports_extension("starttls"):
        mend = 'turn it on there; only for a relay on this host: tls = "off"'
        return [Finding(f"{place} does not offer STARTTLS", _NO_MAIL, mend)]
    await client.starttls(tls_context=ssl.create_default_context(cafile=relay.ca_file))
    found = expiry(client.get_transport_info("peercert") or {}, dt.datetime.now(dt.UTC), place)
    if relay.username is not None and not client.supports_extension("auth"):
        found.append(Finding(f"{place} does not offer AUTH", _NO_MAIL, "take username out, or turn AUTH on there"))
    return found


def expiry(certificate: Mapping[str, Any], now: dt.datetime, place: str) -> list[Finding]:
    """Whether a certificate that is good today ends soon. Pure."""
    until = dt.datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), dt.UTC)
    days = (until - now).days
    if days >= _CERTIFICATE_DAYS:
        return []
    return [Finding(f"the certificate of {place} ends in {days} days", "then no mail leaves by it", "renew it there")]
