"""What a template gives, before its links are looked at, and how it says that it cannot."""

from typing import Final

import msgspec

PROFILE: Final = "profile"
"""The name under which a template finds the fields of the person's profile."""


class TemplateError(Exception):
    """A template is broken, or its data do not fit it. `field` names what is at fault, never a value."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


class Content(msgspec.Struct, frozen=True):
    """A rendered mail: plain `text` and `html` with LF line ends, links not yet looked at."""

    subject: str
    text: str
    html: str
