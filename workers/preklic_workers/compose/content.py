"""What a template gives, before its links are looked at."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Content:
    """A rendered mail: plain `text` and `html` with LF line ends, links not yet looked at."""

    subject: str
    text: str
    html: str
