"""What `preklic ledger verify` says of a ledger that is as it was signed."""

import datetime as dt
from typing import Any

from preklic_workers.ledger.stamp_audit import Gap
from preklic_workers.ledger_audit import Audited


def lines(found: Audited) -> list[str]:
    """For a person."""
    if found.head is None:
        return ["nothing is signed yet"]
    said = [f"{found.head.size} leaves are as they were signed, root {found.head.root.hex()}"]
    if found.unchecked:
        said.append(f"{found.unchecked} time stamps were not checked: give --ca with the authority's certificates")
    elif found.stamps:
        said.append(f"{found.stamps} time stamps are of these heads, the last of {_time(found.stamped)}")
    said += map(_gap, found.gaps)
    if found.witnessed is not None:
        lacks = f"; it lacks the newest {found.lacking}" if found.lacking else ""
        said.append(f"{found.witnessed} heads in the witness's copy are this ledger's{lacks}")
    if found.cosigned is not None:
        said.append(f"the head of {found.cosigned} leaves that the signing witness knows is this ledger's")
    if found.cosignatures or found.strange:
        more = (
            f"; {found.strange} more were not checked: give --cosigner with their witness's vkey"
            if found.strange
            else ""
        )
        said.append(f"{found.cosignatures} cosignatures are of these heads{more}")
    return said


def row(found: Audited) -> dict[str, Any]:
    """For a program."""
    return {
        "leaves": found.head.size if found.head else 0,
        "root": found.head.root.hex() if found.head else None,
        "stamps": found.stamps,
        "stamps_unchecked": found.unchecked,
        "stamped": found.stamped.isoformat() if found.stamped else None,
        "gaps": [
            {
                "first": gap.first,
                "last": gap.last,
                "since": gap.since.isoformat(),
                "until": gap.until.isoformat() if gap.until else None,
            }
            for gap in found.gaps
        ],
        "witnessed": found.witnessed,
        "witness_lacks": found.lacking,
        "cosigned": found.cosigned,
        "cosignatures": found.cosignatures,
        "cosignatures_strange": found.strange,
    }


def _gap(gap: Gap) -> str:
    until = f"to {_time(gap.until)}" if gap.until else "until now"
    return f"GAP: no time stamp from {_time(gap.since)} {until}, over the heads of {gap.first} to {gap.last} leaves"


def _time(at: dt.datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC" if at else "never"
