"""A bundle of evidence: what its archive must hold to be believed. Standard library alone."""

import argparse
import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from preklic_workers.ledger.archive import read_archive
from preklic_workers.ledger.batched import Batched, check_batched, gone_lines
from preklic_workers.ledger.stamped import Stamped, check_stamps, stamp_lines
from preklic_workers.ledger.verify import (
    Altered,
    Head,
    canonical,
    check_opening,
    check_signed,
    leaf_hash,
    octets_in,
    read_canonical,
    read_checkpoint,
    read_proof,
    root_by_inclusion,
    text_in,
)
from preklic_workers.ledger.witnessed import (
    Cosigned,
    CosignerKey,
    check_cosignatures,
    check_growth,
    cosigned_lines,
    key_of,
    missing_witnesses,
)

MANIFEST: Final = "manifest.json"
SIGNATURE: Final = "manifest.note"
TRUE, ALTERED, INCOMPLETE, NO_ANCHOR = 0, 1, 2, 3


class Shown(NamedTuple):
    """A record that the bundle proves: its place in the ledger, its kind, and its content, None where it is gone."""

    place: int
    kind: str
    content: Mapping[str, Any] | None


class Verdict(NamedTuple):
    """What a bundle shows. `mails` says what became of each that is here whole; `gaps` in words.

    `anchored`: a key from outside the bundle signed its manifest and heads.
    """

    manifest: Mapping[str, Any]
    shown: Sequence[Shown]
    mails: Mapping[str, str]
    gaps: Sequence[str]
    anchored: bool
    stamps: Sequence[Stamped] = ()
    batched: Sequence[Batched] = ()
    cosigned: Sequence[Cosigned] = ()

    @property
    def records(self) -> int:
        """How many it proves, each by a leaf of its own or by its batch's."""
        return len(self.shown) + len(self.batched)

    @property
    def code(self) -> int:
        """The exit code."""
        return NO_ANCHOR if not self.anchored else INCOMPLETE if self.gaps else TRUE


def check(octets: bytes, anchors: Sequence[bytes] = (), witnesses: Sequence[CosignerKey] = ()) -> Verdict:
    """What this bundle shows. `anchors` are public keys of the ledger (32 octets) that you have from elsewhere.

    So are the keys of `witnesses`, each of whom must have signed a head in it.
    """
    files = read_archive(octets)
    manifest = read_canonical(_file(files, MANIFEST), MANIFEST)
    keys = _keys(files, manifest, anchors)
    _whole(files, manifest)
    _heads(files, keys)
    shown = _leaves(files, manifest, keys)
    contents = [one.content for one in shown if one.content is not None]
    batched, mails = check_batched(files, contents), _mails(files, contents)
    stamps, cosigned = check_stamps(files, keys), check_cosignatures(files, keys, witnesses)
    gaps = [f"leaf {one.place}: its content is not here" for one in shown if one.content is None]
    gaps += [f"{name}: its octets are not here" for name in mails if name not in files]
    gaps += gone_lines(manifest.get("gone", {})) + missing_witnesses(cosigned, witnesses)
    there = {name: mails[name] for name in mails if name in files}
    return Verdict(manifest, shown, there, gaps, bool(anchors), stamps, batched, cosigned)


def manifest_text(ledger: str, manifest: bytes) -> str:
    """What the ledger's key signs of a bundle. No head of a ledger begins like this: its name has no space."""
    return f"preklic evidence manifest v1\n{ledger}\n{hashlib.sha256(manifest).hexdigest()}\n"


def _keys(
    files: Mapping[str, bytes], manifest: Mapping[str, Any], anchors: Sequence[bytes]
) -> Mapping[str, Sequence[bytes]]:
    """The ledger's keys: those from elsewhere, and with them those of a manifest that one of them signed."""
    ledger, listed = manifest["ledger"], [bytes.fromhex(key["public"]) for key in manifest["keys"]]
    signed = check_signed(text_in(_file(files, SIGNATURE), SIGNATURE), {ledger: list(anchors) or listed}, SIGNATURE)
    if signed != manifest_text(ledger, files[MANIFEST]):
        raise Altered(f"{MANIFEST}: not the one that was signed")
    return {ledger: [*anchors, *listed]}


def _whole(files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
    listed = manifest["files"]
    if strange := sorted(set(files) - set(listed) - {MANIFEST, SIGNATURE}):
        raise Altered(f"{strange[0]}: not listed")
    for name, digest in listed.items():
        if hashlib.sha256(_file(files, name)).hexdigest() != digest:
            raise Altered(f"{name}: not the listed file")


def _heads(files: Mapping[str, bytes], keys: Mapping[str, Sequence[bytes]]) -> None:
    """The heads that show from when to when each key signed."""
    for name in sorted(files):
        if name.startswith("checkpoints/"):
            head = read_checkpoint(text_in(files[name], name), keys, name)
            if name != f"checkpoints/{head.size}.note":
                raise Altered(f"{name}: a head of {head.size} leaves")


def _mails(files: Mapping[str, bytes], contents: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What became of the octets of mails, by their files; those here are the ones recorded before they could leave."""
    kept = [content["record"] for content in contents if content["in"] == "copies"]
    told = {f"mails/{one['mail']}.{one['epoch']}.eml": one for one in kept}
    for name in sorted(files):
        if name.startswith("mails/") and hashlib.sha256(files[name]).hexdigest() != told.get(name, {}).get("sha256"):
            raise Altered(f"{name}: no record says that these octets were sent")
    ends = [(content["of"], content["entry"]) for content in contents if content["in"] == "messages"]
    sent = {(of, entry.get("epoch")): entry.get("reply") or {} for of, entry in ends if entry["what"] == "sent"}
    return {name: _fate(sent.get((one["mail"], one["epoch"]))) for name, one in sorted(told.items())}


def _fate(reply: Mapping[str, Any] | None) -> str:
    if reply is None:
        return "no record says that these octets were handed over"
    codes = " ".join(str(reply[name]) for name in ("code", "enhanced") if name in reply)
    return f"handed over as it is here, the relay's reply {codes or 'was proven otherwise'}"


def _leaves(
    files: Mapping[str, bytes], manifest: Mapping[str, Any], keys: Mapping[str, Sequence[bytes]]
) -> list[Shown]:
    """The leaves of the manifest, all under one head, out of which those grew that others vouch for."""
    found = [_leaf(files, listed, keys) for listed in manifest["leaves"]]
    heads = sorted({head for _, head in found})
    if len(heads) > 1:
        raise Altered("the proofs: they do not end in one head")
    for head in heads:
        check_growth(files, keys, head)
    return [shown for shown, _ in found]


def _leaf(
    files: Mapping[str, bytes], listed: Mapping[str, Any], keys: Mapping[str, Sequence[bytes]]
) -> tuple[Shown, Head]:
    place = listed["place"]
    octets = _file(files, f"leaves/{place}.json")
    leaf = read_canonical(octets, f"leaf {place}")
    stands, hashes, note = read_proof(
        text_in(_file(files, f"proofs/{place}.tlog-proof"), f"proof {place}"), f"proof {place}"
    )
    head = read_checkpoint(note, keys, f"the checkpoint of proof {place}")
    if stands != place or root_by_inclusion(leaf_hash(octets), place, head.size, hashes) != head.root:
        raise Altered(f"leaf {place}: not in the ledger at this place")
    name = f"openings/{place}.json"
    if name not in files:
        return Shown(place, leaf["kind"], None), head
    opening = read_canonical(files[name], f"opening {place}")
    try:
        salt, content = octets_in(opening["salt"], f"opening {place}"), dict(opening["content"])
    except (LookupError, TypeError, ValueError):
        raise Altered(f"opening {place}: not in its form") from None
    check_opening(leaf, salt, content, f"leaf {place}")
    return Shown(place, leaf["kind"], content), head


def _file(files: Mapping[str, bytes], name: str) -> bytes:
    if name not in files:
        raise Altered(f"{name}: missing")
    return files[name]


def report(octets: bytes, anchors: Sequence[bytes], witnesses: Sequence[CosignerKey] = ()) -> tuple[int, list[str]]:
    """The exit code, and what to say."""
    try:
        verdict = check(octets, anchors, witnesses)
    except Altered as altered:
        return ALTERED, [f"ALTERED: {altered}"]
    except (LookupError, TypeError, ValueError, AttributeError) as odd:
        return ALTERED, [f"ALTERED: the manifest or a record is not in its form ({type(odd).__name__})"]
    said = {name: verdict.manifest[name] for name in ("about", "by", "ledger", "made", "why")}
    lines = [f"bundle: {_text(said)}"]
    lines += [f"leaf {one.place}: {one.kind} {_text(one.content)}" for one in verdict.shown]
    lines += [f"{one.file}: of {one.what} {_text(one.content)}" for one in verdict.batched]
    lines += [f"{name}: {fate}" for name, fate in verdict.mails.items()]
    lines += stamp_lines(verdict.stamps) + cosigned_lines(verdict.cosigned)
    lines += [f"INCOMPLETE: {gap}" for gap in verdict.gaps]
    if not verdict.anchored:
        lines.append("NO TRUST ANCHOR: all fits together, but give --key with the ledger's public key from elsewhere")
    count = "1 record is as it was" if verdict.records == 1 else f"{verdict.records} records are as they were"
    return verdict.code, [*lines, f"{count} signed"]


def _text(content: Mapping[str, Any] | None) -> str:
    return "(content erased)" if content is None else canonical(dict(content)).decode()


def main(arguments: Sequence[str] | None = None) -> int:
    """`python3 verify.py BUNDLE --key HEX --witness VKEY`: 0 true, 1 altered, 2 incomplete, 3 no trust anchor."""
    parser = argparse.ArgumentParser(
        description="Check a bundle of evidence. 0 true, 1 altered, 2 incomplete, 3 no trust anchor."
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--key", action="append", default=[], help="the ledger's public key, 64 hex digits; may repeat")
    parser.add_argument("--witness", action="append", default=[], help="a witness's vkey, name+id+key; may repeat")
    given = parser.parse_args(arguments)
    try:
        keys, witnesses = [bytes.fromhex(key) for key in given.key], [key_of(vkey) for vkey in given.witness]
    except ValueError as wrong:
        parser.error(str(wrong))
    code, lines = report(given.bundle.read_bytes(), keys, witnesses)
    sys.stdout.write("\n".join(lines) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
