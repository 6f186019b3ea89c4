"""Quoted-printable (RFC 2045 6.7), line by line: the lines that a template brings as they are, are encoded once."""

import binascii
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from jinja2 import nodes

NOTHING: Final[Mapping[str, bytes]] = {}


def quoted(body: str, known: Mapping[str, bytes] = NOTHING) -> bytes:
    """A body with CRLF, lines of at most 76 octets, none of them a lone dot. `known` are lines that `lines` encoded."""
    encoded: list[bytes] = []
    new: list[str] = []
    for text in body.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").split("\n"):
        own = known.get(text)
        if own is None:
            new.append(text)
            continue
        if new:
            encoded.append(lines(new))
            new.clear()
        encoded.append(own)
    if new:
        encoded.append(lines(new))
    whole = b"".join(encoded)
    # The encoder hides a lone dot that had a line of its own, but not one that its own soft line break left alone.
    return whole.replace(b"\r\n.\r\n", b"\r\n=2E\r\n") if b".\r\n" in whole else whole


def lines(texts: Sequence[str]) -> bytes:
    """Lines with their ends. The encoder takes its line ends from the first one it finds, so there has to be one."""
    return binascii.b2a_qp(("\r\n".join(texts) + "\r\n").encode("utf-8", "replace"), istext=True)


def lines_of(sources: Iterable[nodes.Template]) -> Mapping[str, bytes]:
    """The lines of a template's sources, encoded: most stand in its mails as they are."""
    written = (data.data for source in sources for data in source.find_all(nodes.TemplateData))
    return {text: lines([text]) for data in written for text in data.split("\n")}
