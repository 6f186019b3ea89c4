"""What a peer records in MongoDB: one document for each job, majority and journal, as ours."""

import datetime as dt
from typing import Any


def sent(job: str, to: str) -> dict[str, Any]:
    return {"_id": job, "to": to, "state": "sent", "at": dt.datetime.now(dt.UTC)}


def event(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "_id": fields["id"],
        "message": fields["message"],
        "person": fields["person"],
        "kind": fields["event"],
        "link": fields["link"],
        "verdict": "human" if fields["agent"] == "browser" else "unknown",
        "at": dt.datetime.fromtimestamp(fields["at"] / 1000, dt.UTC),
        "recorded": dt.datetime.now(dt.UTC),
    }


CONCERN = {"w": "majority", "journal": True}
