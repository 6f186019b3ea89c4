"""What a template gives, before its links are looked at, and how it says that it cannot."""

from dataclasses import dataclass
from typing import Final

PROFILE: Final = "profile"
"""The name under which a template finds the fields of the person's profile."""


class TemplateError(Exception):
    """A template is broken, or its data do not fit it. `field` names what is at fault, never a value."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


@dataclass(frozen=True, slots=True)
class Content:
    """A rendered mail: plain `text` and `html` with LF line ends, links not yet looked at."""

    subject: str
    text: str
    html: str
