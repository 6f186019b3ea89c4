"""What jobs are made of: the types of their fields, with the limits that `wire` holds them to, and their header."""

import datetime as dt
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import Meta, Struct

# `$` alone would let a final newline pass; the look-ahead is valid in Python and in JSON Schema alike.
END = r"$(?!\n)"
JobId = Annotated[str, Meta(pattern=rf"^[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}{END}")]
Millis = Annotated[int, Meta(ge=0, le=253_402_300_799_999)]
Producer = Annotated[str, Meta(pattern=rf"^[A-Za-z0-9_.-]{{1,64}}{END}")]
Purpose = Annotated[str, Meta(pattern=rf"^[a-z][a-z0-9_.]{{0,63}}{END}")]
Template = Annotated[str, Meta(pattern=rf"^[a-z][a-z0-9_-]{{0,63}}{END}")]
Trace = Annotated[str, Meta(pattern=rf"^00-[0-9a-f]{{32}}-[0-9a-f]{{16}}-[0-9a-f]{{2}}{END}")]
KeyId = Annotated[str, Meta(pattern=rf"^[a-z0-9-]{{1,64}}{END}")]
# As long as a mail with its files; the body of any other kind has a narrower limit (`wire.limit_of`).
SEALED_MOST: Final = 780_000
Sealed = Annotated[str, Meta(pattern=rf"^[A-Za-z0-9+/]+={{0,2}}{END}", max_length=SEALED_MOST)]
Day = Annotated[str, Meta(pattern=rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}{END}")]
Pid = Annotated[str, Meta(pattern=rf"^[0-9a-f]{{32}}{END}")]
Enhanced = Annotated[str, Meta(pattern=rf"^[245]\.[0-9]{{1,3}}\.[0-9]{{1,3}}{END}")]  # RFC 3463
Word = Annotated[str, Meta(pattern=rf"^[A-Za-z0-9][A-Za-z0-9_.:-]{{0,99}}{END}")]
Text = Annotated[str, Meta(max_length=1000)]
Short = Annotated[str, Meta(min_length=1, max_length=200)]
Purposes = Annotated[tuple[Purpose, ...], Meta(min_length=1, max_length=64)]
FieldName = Annotated[str, Meta(pattern=rf"^[A-Za-z][A-Za-z0-9_-]{{0,63}}{END}")]
FieldText = Annotated[str, Meta(max_length=10_000)]


# A key serves those who seal for up to 8 days and dies after 30: what waits longer than this might never be opened.
SEND_AHEAD: Final = dt.timedelta(days=21)


class Job(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The clear header that every job has; what is personal rides sealed."""

    KIND: ClassVar[str]
    VERSION: ClassVar[int] = 1

    v: Annotated[int, Meta(ge=1, le=1)] = 1
    id: JobId
    producer: Producer
    at: Millis
    expires: Millis
    traceparent: Trace | None = None

    def header(self) -> bytes:
        """The canonical clear header that sealing binds to: everything but the sealed text itself."""
        fields = {"kind": self.KIND, **msgspec.structs.asdict(self)}
        fields.pop("sealed", None)
        if fields.get("send_at", 0) is None:
            del fields["send_at"]  # jobs that were sealed before there was such a field have none
        return msgspec.json.encode(fields, order="sorted")
