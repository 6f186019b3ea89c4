"""Settings of who else vouches for the ledger's heads.

`[stamps]` (`PREKLIC_STAMPS__URL`) is an authority that stamps them (RFC 3161), `[cosigner]` a witness that signs them.
"""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, Struct


class Stamps(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An authority: where it answers, the certificates (PEM) that it is believed by, and how often, in seconds."""

    url: Annotated[str, Meta(max_length=2000)]
    ca: Path
    every: Annotated[int, Meta(ge=60, le=43_200)] = 3600


class Cosigner(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A witness (C2SP tlog-witness): its submission and its monitoring prefix, and its key (C2SP vkey, Ed25519)."""

    url: Annotated[str, Meta(max_length=2000)]
    monitor: Annotated[str, Meta(max_length=2000)] | None = None
    key: Annotated[str, Meta(pattern=r"^[!-*,-~]{1,200}\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44}$")]


def fault_in_vouchers(stamps: Stamps | None, cosigner: Cosigner | None) -> tuple[str, str] | None:
    """The setting that is wrong and why, None when none is. Plain http will do: what is signed is believed, no more."""
    urls = [("STAMPS", stamps.url)] if stamps else []
    urls += [("COSIGNER", url) for url in (cosigner.url, cosigner.monitor) if url is not None] if cosigner else []
    return next(((name, fault) for name, url in urls if (fault := _fault_in_url(url)) is not None), None)


def _fault_in_url(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "the url cannot be read"
    sound = host and parts.username is None and not parts.fragment and url.isascii() and url.isprintable()
    if not sound or parts.scheme not in {"http", "https"}:
        return "the url must be https://host/path or http://host/path, without user, password and fragment"
    return None
