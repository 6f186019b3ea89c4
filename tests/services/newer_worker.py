"""`preklic ...` of the next release: its track jobs have a second version with a field more."""

import sys
from typing import Annotated, ClassVar

from msgspec import Meta

from preklic_shared import cli, jobs


class NewerTrackJob(jobs.TrackJob, frozen=True, kw_only=True):
    """What a later release may publish."""

    VERSION: ClassVar[int] = 2

    v: Annotated[int, Meta(ge=1, le=2)] = 2
    device: Annotated[str, Meta(max_length=20)] | None = None


jobs.ACTORS["track"] = (NewerTrackJob, "track")

if __name__ == "__main__":
    sys.exit(cli.run(sys.argv[1:]))
