"""A canary: a word that must be found nowhere, in every form it could have taken, and the search for it.

The word is random ASCII and part of addresses, of their domain, of names and of a user agent, so whatever leaks one of
them leaks it. Of what cannot hold it (a hash of the whole address, an IP address) the forms are added.
"""

import base64
import hashlib
import html
import json
import os
import quopri
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from bson import encode as bson
from pymongo import MongoClient

SHORTEST = 8  # octets of a needle; a shorter one would be found by chance


@dataclass(frozen=True)
class Canary:
    """`word` and what is made of it: two addresses, a person's name, an IP address of RFC 5737, a user agent."""

    word: str = field(default_factory=lambda: f"kn{secrets.token_hex(7)}q")
    ip: str = field(default_factory=lambda: f"203.0.113.{secrets.randbelow(155) + 100}")

    @property
    def address(self) -> str:
        return f"Ana.{self.word.title()}@{self.word}.example"

    @property
    def other(self) -> str:
        return f"{self.word}@{self.word}.example"

    @property
    def first_name(self) -> str:
        return f"Žana{self.word}"

    @property
    def last_name(self) -> str:
        return f"Černe-{self.word.upper()}"

    @property
    def agent(self) -> str:
        return f"Mozilla/5.0 (X11; Linux x86_64; {self.word}) Gecko/20100101 Firefox/140.0"

    def needles(self) -> "Needles":
        found = Needles()
        found.add_text(self.word)
        found.add_text(self.ip)
        for text in (self.address, self.other, self.ip, self.address.partition("@")[0]):
            for each in {text, text.lower(), text.upper()}:
                found.add_hashes(each)
        return found


@dataclass
class Needles:
    """Octets to look for, each with the name of its form: `exact` as they are, `folded` in lower-cased octets."""

    exact: dict[bytes, str] = field(default_factory=dict)
    folded: dict[bytes, str] = field(default_factory=dict)

    def add_text(self, text: str) -> None:
        for each in {text, text.lower(), text.upper(), text.title()}:
            for name, form in folded_forms(each):
                self._put(self.folded, name, form.lower())
            for name, form in base64_forms(each.encode()):
                self._put(self.exact, name, form)

    def add_hashes(self, text: str) -> None:
        for kind in ("sha256", "sha1", "md5"):
            digest = hashlib.new(kind, text.encode()).digest()
            self._put(self.exact, f"{kind} octets", digest)
            self._put(self.folded, f"{kind} hex", digest.hex().encode())
            for name, form in base64_forms(digest):
                self._put(self.exact, f"{kind} {name}", form)

    def hits(self, octets: bytes) -> list[str]:
        """The forms that are in there."""
        lower = octets.lower()
        found = [name for needle, name in self.exact.items() if needle in octets]
        return sorted({*found, *(name for needle, name in self.folded.items() if needle in lower)})

    def _put(self, where: dict[bytes, str], name: str, form: bytes) -> None:
        assert len(form) >= SHORTEST, name
        where.setdefault(form, name)


def folded_forms(text: str) -> Iterator[tuple[str, bytes]]:
    """Forms that are the same in any case of letters."""
    raw = text.encode()
    yield "plain", raw
    yield "UTF-16 little", text.encode("utf-16-le")
    yield "UTF-16 big", text.encode("utf-16-be")
    yield "hex", raw.hex().encode()
    yield "hex with blanks", raw.hex(" ").encode()
    yield "Python octets", "".join(f"\\x{octet:02x}" for octet in raw).encode()
    yield "JSON", json.dumps(text)[1:-1].encode()
    yield "JSON escapes", "".join(f"\\u{ord(char):04x}" for char in text).encode()
    yield "URL", quote(text, safe="").encode()
    yield "URL octets", "".join(f"%{octet:02x}" for octet in raw).encode()
    yield "quoted-printable", quopri.encodestring(raw, quotetabs=True, header=True)
    yield "quoted-printable octets", "".join(f"={octet:02x}" for octet in raw).encode()
    yield "HTML", html.escape(text).encode()
    yield "HTML entities", "".join(f"&#{ord(char)};" for char in text).encode()
    yield "HTML hex entities", "".join(f"&#x{ord(char):x};" for char in text).encode()


def base64_forms(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """Base64 and base64url of `raw` wherever it begins within a group of three octets: what depends on it alone."""
    for offset in range(3):
        text = base64.b64encode(b"\0" * offset + raw)
        first = (offset * 8 + 5) // 6
        last = (offset + len(raw)) * 8 // 6
        yield f"base64 at {offset}", text[first:last]
        yield f"base64url at {offset}", text[first:last].translate(bytes.maketrans(b"+/", b"-_"))


@dataclass
class Places:
    """What was searched: octets by kind of place and by name."""

    found: dict[str, list[tuple[str, bytes]]] = field(default_factory=dict)

    def add(self, kind: str, name: str, octets: bytes) -> None:
        self.found.setdefault(kind, []).append((name, octets))

    def add_files(self, kind: str, *folders: Path, skip: Callable[[Path], bool] = lambda _: False) -> None:
        for folder in folders:
            for path in sorted(folder.rglob("*")) if folder.is_dir() else [folder]:
                if path.is_file() and not path.is_symlink() and not skip(path):
                    # Servers reserve files by the hundred megabytes; what was never written is zero.
                    self.add(kind, str(path), path.read_bytes().rstrip(b"\0"))

    def add_databases(self, url: str, ours: str) -> None:
        """Every document of every database, with the oplog, and what is said of collections; `ours` is the store's."""
        kinds = {ours: "documents of the store", f"{ours}_keys": "documents of the keys", "local": "oplog"}
        with MongoClient(url) as client:
            for database in client.list_databases():
                name = database["name"]
                for collection in client[name].list_collections():
                    kind = kinds.get(name, "documents of the server")
                    self.add(kind, f"{name}.{collection['name']}", bson(collection))
                    for document in client[name][collection["name"]].find():
                        self.add(kind, f"{name}.{collection['name']}", bson(document))

    def add_processes(self, pids: Iterable[int]) -> None:
        """What a process listing shows; what is root's alone cannot be read by others either."""
        for pid in pids:
            for name in ("cmdline", "environ", "comm", "status"):
                with suppress(OSError):
                    self.add("process listing", f"/proc/{pid}/{name}", Path(f"/proc/{pid}/{name}").read_bytes())

    def hits(self, needles: Needles, *kinds: str) -> list[str]:
        """Where the needles are, as `kind: name: form`; in all kinds of places, or in these."""
        return [
            f"{kind}: {name}: {form}"
            for kind in kinds or self.found
            for name, octets in self.found.get(kind, ())
            for form in needles.hits(octets)
        ]

    def size(self, kind: str) -> int:
        """Octets that were searched."""
        return sum(len(octets) for _, octets in self.found.get(kind, ()))


def dropped(pids: Iterable[int]) -> list[int]:
    """Those of these children, ended but not yet waited for, that left a core."""
    ended = [os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT) for pid in pids]
    return [end.si_pid for end in ended if end is not None and end.si_code == os.CLD_DUMPED]
