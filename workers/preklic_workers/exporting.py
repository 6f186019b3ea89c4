"""The person's own export (GDPR 15 and 20): what is recorded, why, and who received what. Pure but for the file.

One of the three ways by which an address leaves (promise P1): recorded as an act before anything is read.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from preklic_shared.registry import Registry
from preklic_workers.lifecycle import POSSIBLY_SENT
from preklic_workers.store.exports import Whole
from preklic_workers.store.mongo import Doc

Format = Literal["json", "html"]
ACT: Final = "exported"
# Of these acts the person learns the ground too; of others only that they were, for an investigation may be secret.
_TOLD: Final = ("exported", "erasure_asked", "disclosed")
# What is the system's own and says nothing of the person.
_INNER: Final = frozenset(
    {"person", "body_hash", "by", "lease", "proof", "_id", "rules", "ended", "leaves", "batch", "salt"}
)
# Of a hold the person learns what is kept and until when; for which case and why is the proceeding's (GDPR 15(4), 23).
_OF_HOLD: Final = ("groups", "from", "until", "mails", "octets")
_RECEIVED: Final = POSSIBLY_SENT | {"failed"}
SECTIONS: Final[Mapping[str, tuple[str, str]]] = {
    "permissions": ("Dovoljenja", "Permissions"),
    "history": ("Zgodovina dovoljenj z dokazi", "History of permissions, with proofs"),
    "suppressions": ("Zapore", "Suppressions"),
    "fields": ("Pridruženi podatki in njihov izvor", "Joined data and where they came from"),
    "mails": ("Sporočila", "Messages"),
    "events": ("Dogodki", "Events"),
    "withdrawals": ("Preklici in ugovori", "Withdrawals and objections"),
    "received": ("Kdo je prejel naslov: obdelovalci", "Who received the address: processors"),
    "acts": ("Razkritja in drugi posegi", "Disclosures and other acts"),
    "holds": ("Pravna zadržanja", "Legal holds"),
    "copies": ("Sporočila, katerih kopija se hrani zaradi zadržanja", "Messages of which a hold keeps a copy"),
    "held_mails": ("Zapisi o sporočilih, ki se hranijo zaradi zadržanja", "Records of messages that a hold keeps"),
    "dead_letters": ("Neuspela opravila", "Failed jobs"),
}


def export_of(whole: Whole, registry: Registry, now: dt.datetime) -> dict[str, Any]:
    """The whole export of one person as JSON values; every section is there, if only empty."""
    person = whole.person
    kept = [row["mail"] for row in whole.held_mails]
    said = {name.replace(":", "."): entry for name, entry in person["permissions"].items()}
    return {
        "made": now,
        "controller": registry.controller,
        "person": _person(person, whole.address),
        "permissions": [{"purpose": key, **_title(key, registry), **_plain(entry)} for key, entry in said.items()],
        "history": [_plain(row) | {"proof": whole.proofs[row["_id"]]} for row in whole.permissions],
        "suppressions": [{"kind": kind, "since": at} for kind, at in person["suppressed"].items()],
        "fields": _fields(whole.fields),
        "mails": [{"id": mail["_id"], **_plain(mail)} for mail in whole.mails],
        "events": [_plain(event) for event in whole.events],
        "withdrawals": [{"id": no["_id"], **_plain(no)} for no in whole.withdrawals],
        "received": received({mail["_id"]: mail for mail in [*kept, *whole.mails]}.values()),
        "acts": [_act(act) for act in whole.acts],
        "holds": [{name: hold[name] for name in _OF_HOLD if name in hold} for hold in held(person)],
        "copies": [_plain(copy) for copy in whole.copies],
        "held_mails": [_held_mail(row, person) for row in whole.held_mails],
        "dead_letters": [_plain(letter) for letter in whole.dead],
    }


def received(mails: Iterable[Doc]) -> list[dict[str, Any]]:
    """Each processor: `prepared` mails that named it, of which it `received` so many (or may have), first and last."""
    by_name: dict[str, list[Doc]] = {}
    for mail in mails:
        if "processor" in mail:
            by_name.setdefault(mail["processor"], []).append(mail)
    return [
        {
            "processor": name,
            "prepared": len(named),
            "received": sum(mail["state"] in _RECEIVED for mail in named),
            "first": min(mail["created"] for mail in named),
            "last": max(mail["created"] for mail in named),
        }
        for name, named in sorted(by_name.items())
    ]


def held(person: Doc) -> Sequence[Doc]:
    """The legal holds on a person's document."""
    holds: Sequence[Doc] = person.get("holds", ())
    return holds


def rendered(persons: Sequence[Mapping[str, Any]], kind: Format) -> bytes:
    """The file's content. The page has no script, and escapes whatever stands in the data."""
    if kind == "json":
        return msgspec.json.format(msgspec.json.encode({"persons": persons})) + b"\n"
    page = _pages().get_template("export.html.j2")
    return page.render(persons=persons, sections=SECTIONS).encode()


def shown(value: object) -> str:
    """A value as a cell of the page."""
    if value is None:
        return "-"
    if isinstance(value, dt.datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, bool):
        return "da / yes" if value else "ne / no"
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {shown(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return " | ".join(shown(each) for each in value)
    return str(value)


def escaped(_name: str | None) -> bool:
    """Whether what data put into a page is escaped: always."""
    return True


def _pages() -> Environment:
    folder = FileSystemLoader(Path(__file__).parent / "pages")
    pages = Environment(loader=folder, autoescape=escaped, undefined=StrictUndefined, trim_blocks=True)  # noqa: S701 - it is always on
    pages.filters["shown"] = shown
    return pages


def _person(doc: Doc, address: str | None) -> dict[str, Any]:
    return {
        "address": address,
        "subject": doc["_id"],
        "website_name_known": "ref_hash" in doc,
        "provider": doc.get("provider"),
        "erased": doc["erased"],
        "last_sign_of_life": doc.get("alive"),
    }


def _plain(doc: Doc) -> dict[str, Any]:
    return {name: _value(value) for name, value in doc.items() if name not in _INNER}


def _held_mail(row: Doc, person: Doc) -> dict[str, Any]:
    """A mail's record that outlives its retention, and since and until when a hold keeps it."""
    said = {
        f"held_{name}": hold[name] for hold in held(person) if hold["id"] == row["hold"] for name in ("from", "until")
    }
    return {"id": row["mail"]["_id"], **_plain(row["mail"]), **said}


def _value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _plain(dict(value))
    return [_value(each) for each in value] if isinstance(value, list) else value


def _fields(fields: Mapping[str, Mapping[str, Any] | None]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for group, named in fields.items():
        if named is None:
            rows.append({"group": group, "name": None, "value": None, "source": "the key is gone", "at": None})
        else:
            rows += [{"group": group, "name": name, **said} for name, said in named.items()]
    return rows


def _act(act: Doc) -> dict[str, Any]:
    told = {"kind": act["kind"], "at": act["at"]}
    return told | ({"why": act["why"], "facts": _value(act.get("facts", {}))} if act["kind"] in _TOLD else {})


def _title(key: str, registry: Registry) -> dict[str, Any]:
    purpose = registry.get(key) or registry.get(key.partition(".")[0])
    return {} if purpose is None else {"title": {"sl": purpose.title.sl, "en": purpose.title.en}}
