"""The class of a mailbox provider, for statistics without addresses (clause U15). Pure."""

from typing import Final

_BY_DOMAIN: Final = {
    "gmail.com": "gmail",
    "googlemail.com": "gmail",
    "outlook.com": "outlook",
    "hotmail.com": "outlook",
    "live.com": "outlook",
    "msn.com": "outlook",
    "yahoo.com": "yahoo",
    "icloud.com": "icloud",
    "me.com": "icloud",
    "proton.me": "proton",
    "protonmail.com": "proton",
    "siol.net": "siol",
}
PROVIDERS: Final = frozenset(_BY_DOMAIN.values()) | {"other"}


def provider_of(domain: str) -> str:
    """The class of the domain (A-labels, lower case); `other` for all that are too small to count by name.

    >>> provider_of("gmail.com"), provider_of("primer.si")
    ('gmail', 'other')
    """
    return _BY_DOMAIN.get(domain, "other")
