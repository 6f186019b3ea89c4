"""Settings of the authority that stamps the ledger's heads (RFC 3161): `[stamps]`, or `PREKLIC_STAMPS__URL`."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, Struct


class Stamps(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An authority: where it answers, the certificates (PEM) that it is believed by, and how often, in seconds."""

    url: Annotated[str, Meta(max_length=2000)]
    ca: Path
    every: Annotated[int, Meta(ge=60, le=43_200)] = 3600


def fault_in_stamps(stamps: Stamps | None) -> str | None:
    """What is wrong with it, None when nothing is. Plain http will do: an answer is believed by its signature alone."""
    if stamps is None:
        return None
    try:
        parts = urlsplit(stamps.url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "the url cannot be read"
    sound = host and parts.username is None and not parts.fragment and stamps.url.isascii() and stamps.url.isprintable()
    if not sound or parts.scheme not in {"http", "https"}:
        return "the url must be https://host/path or http://host/path, without user, password and fragment"
    return None
