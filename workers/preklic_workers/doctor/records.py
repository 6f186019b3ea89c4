"""What receivers read in the DNS about our mail: SPF, DKIM, DMARC, MTA-STS, and where returns come in."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from preklic_shared.registry import load_registry
from preklic_workers.dkim_keys import DkimKey
from preklic_workers.doctor.finding import Finding, Patient, Seen, Unseen
from preklic_workers.doctor.resolver import NoAnswer, Resolver
from preklic_workers.keydir import KeyDirError
from preklic_workers.rings import ring_of

_MOST_LOOKUPS: Final = 10  # RFC 7208 4.6.4
_LOOKS_UP: Final = re.compile(r"[+?~-]?(?:include:|exists:|redirect=|ptr\b|mx\b|a(?=[:/]|$))", re.IGNORECASE)
_BLANK: Final = re.compile(r"\s+")


def examine(patient: Patient) -> Iterator[Seen]:
    """All records of the domains that mail comes from and returns to."""
    if patient.resolver is None:
        yield Unseen("the DNS was not asked", "preklic doctor --resolver 9.9.9.9")
        return
    resolver, config = patient.resolver, patient.config
    senders = sorted(load_registry(config.registry).sender_domains)
    try:
        yield from _of_returns(resolver, config.mail_domain)
        for domain in senders:
            yield from dmarc(domain, _dmarc_texts(resolver, domain))
        for seen in _signatures(patient, senders):
            yield from (seen,) if isinstance(seen, Unseen) else dkim(seen, resolver.texts(seen.name))
    except NoAnswer as error:
        why = "nothing more can be said of what receivers see"
        yield Finding(f"the resolver {resolver.place} gives no answer ({error})", why, "name another one: --resolver")


def _of_returns(resolver: Resolver, domain: str) -> Iterator[Finding]:
    yield from mx(domain, resolver.exchanges(domain))
    yield from spf(domain, resolver.texts(domain))
    yield from mta_sts(domain, resolver.texts(f"_mta-sts.{domain}"))


def _dmarc_texts(resolver: Resolver, domain: str) -> list[str]:
    """The policy of the domain, or of the nearest one above it that has one."""
    labels = domain.split(".")
    for start in range(max(1, len(labels) - 1)):
        found = _tagged(resolver.texts("_dmarc." + ".".join(labels[start:])), "v=DMARC1")
        if found:
            return found
    return []


def _signatures(patient: Patient, senders: Sequence[str]) -> list[DkimKey | Unseen]:
    try:
        keys = ring_of(patient.config, "send").dkim
    except (KeyDirError, ValueError):
        return [Unseen("DKIM records were not compared: the keys of the role send are not here", "ask where it runs")]
    if not keys:
        lacking = f"no DKIM key signs for {', '.join(senders)}"
        return [Unseen(f"{lacking}: does the relay sign?", "preklic keys dkim make, and dkim use")]
    return list(keys)


def mx(domain: str, hosts: Sequence[str]) -> Iterator[Finding]:
    """Bounces, complaints and unsubscribes by mail come back to `mail_domain`."""
    if not any(hosts):
        why = "bounces, complaints and mailed unsubscribes cannot come back: a no by mail would be lost"
        yield Finding(f"{domain} has no MX record", why, f"publish: {domain}. MX 10 <host of `preklic feedback`>")


def spf(domain: str, texts: Iterable[str]) -> Iterator[Finding]:
    """SPF of the envelope's domain (RFC 7208). Whether its parts cover each relay is not evaluated."""
    found = _tagged(texts, "v=spf1")
    mend = f'publish one: {domain}. TXT "v=spf1 <your relays> -all"'
    if len(found) != 1:
        why = "receivers cannot tell our relays from others': mail is refused or put into spam"
        yield Finding(f"{domain} has {len(found) or 'no'} SPF record{'s' if found else ''}", why, mend)
        return
    terms = found[0].lower().split()[1:]
    if {"all", "+all"} & set(terms):
        yield Finding(f"the SPF record of {domain} lets everybody send", "anybody's mail passes as ours", mend)
    elif not any(re.fullmatch(r"[?~-]all|redirect=.+", term) for term in terms):
        yield Finding(
            f"the SPF record of {domain} says nothing of other hosts", "forged mail is neutral", "end it in -all"
        )
    if (lookups := sum(bool(_LOOKS_UP.match(term)) for term in terms)) > _MOST_LOOKUPS:
        why = "receivers stop at 10 and answer permerror (RFC 7208 4.6.4)"
        yield Finding(f"the SPF record of {domain} looks up {lookups} names", why, "name addresses: ip4:, ip6:")


def dkim(key: DkimKey, texts: Iterable[str]) -> Iterator[Finding]:
    """The published half of a key that signs (RFC 6376 3.6.1)."""
    mend = f"publish: {key.name}. TXT {key.record()}"
    why = "every signature by this key fails, and DMARC may refuse the mail"
    published = [tags(text) for text in texts]
    if not published:
        yield Finding(f"{key.name} has no record", why, mend)
        return
    wanted = tags(key.record().replace('" "', "").strip('"'))["p"]
    if any(one.get("p") == "" for one in published):
        yield Finding(f"{key.name} is revoked (p= is empty)", why, "sign with another key: preklic keys dkim make")
    elif all(one.get("p") != wanted for one in published):
        yield Finding(f"{key.name} publishes another key than the one that signs", why, mend)
    elif any("y" in one.get("t", "").split(":") for one in published):
        yield Finding(f"{key.name} is in test mode (t=y)", "receivers may ignore it", "publish it without t=y")


def dmarc(domain: str, texts: Iterable[str]) -> Iterator[Finding]:
    """The policy for mail that says it comes from `domain` (RFC 7489 6.3)."""
    found = _tagged(texts, "v=DMARC1")
    mend = f'publish: _dmarc.{domain}. TXT "v=DMARC1; p=quarantine; rua=mailto:<reports>"'
    if len(found) != 1:
        why = "large receivers refuse bulk mail without it, and nobody reports forged mail"
        yield Finding(f"{domain} has {len(found) or 'no'} DMARC policy", why, mend)
    elif tags(found[0]).get("p", "").lower() not in {"quarantine", "reject"}:
        yield Finding(f"the DMARC policy of {domain} asks for nothing (p=none)", "forged mail is delivered", mend)


def mta_sts(domain: str, texts: Iterable[str]) -> Iterator[Finding]:
    """Whether who sends to `domain` is told to insist on TLS (RFC 8461 3.1). Its policy file is not fetched."""
    found = _tagged(texts, "v=STSv1")
    if len(found) != 1 or not re.fullmatch(r"[A-Za-z0-9]{1,32}", tags(found[0]).get("id", "")):
        why = "what comes back to us (who bounced, who unsubscribed) may travel in the clear"
        mend = f'publish: _mta-sts.{domain}. TXT "v=STSv1; id=<number>", and https://mta-sts.{domain}/.well-known/mta-sts.txt'
        yield Finding(f"{domain} has no MTA-STS record", why, mend)


def tags(text: str) -> dict[str, str]:
    """The tags of a record, without blanks in their values; the first of two counts.

    >>> tags("v=DKIM1; k=rsa; p=AB CD=")
    {'v': 'DKIM1', 'k': 'rsa', 'p': 'ABCD='}
    """
    found: dict[str, str] = {}
    for part in text[:10_000].split(";"):
        name, sign, value = part.partition("=")
        if sign:
            found.setdefault(name.strip().lower(), _BLANK.sub("", value))
    return found


def _tagged(texts: Iterable[str], version: str) -> list[str]:
    return [text for text in texts if re.match(re.escape(version) + r"(?:[\s;]|$)", text, re.IGNORECASE)]
