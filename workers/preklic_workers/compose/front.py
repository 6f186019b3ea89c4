"""The front matter of a template, and what follows from it."""

from typing import Annotated, Final

from msgspec import Meta, Struct

from preklic_workers.compose.content import PROFILE

_RIGHT_TO_LEFT: Final = frozenset({"ar", "dv", "fa", "he", "ps", "ug", "ur", "yi"})
SURROUNDINGS: Final = frozenset(
    {
        "company",
        "confirm_url",
        "direction",
        "language",
        "policy_url",
        "preferences_url",
        "preheader",
        "subject",
        "unsubscribe_url",
    }
)
"""Names that every template may use beside its fields."""


class Front(Struct, frozen=True, forbid_unknown_fields=True):
    """The front matter in `template.toml`. `optional` fields are None where the data lack them.

    `profile` names the fields of the person's profile that the mail is made individual with: the template finds them in
    `profile`, which is empty where the general variant must go out.
    `subject`, or several `subjects` to find out which is opened more (A/B).
    `destinations`: the hosts of a partner that a partner's mail may lead to, through our redirect (U4).
    """

    purposes: list[str]
    language: str
    preheader: str
    subject: str | None = None
    subjects: Annotated[list[str], Meta(max_length=10)] = []
    fields: list[str] = []
    optional: list[str] = []
    profile: list[str] = []
    destinations: list[str] = []

    @property
    def lines(self) -> list[str]:
        """The subject, or those among which a mail's variant chooses."""
        return self.subjects if self.subject is None else [self.subject]


def direction(language: str) -> str:
    """The direction in which a language is written: rtl or ltr (HTML's `dir`)."""
    return "rtl" if language.partition("-")[0] in _RIGHT_TO_LEFT else "ltr"


def known_names(front: Front) -> frozenset[str]:
    """The names that a template may use; those of the profile, and it itself, only where it declares them."""
    asked = {PROFILE, *(f"{PROFILE}.{field}" for field in front.profile)} if front.profile else set()
    return SURROUNDINGS | {*front.fields, *front.optional} | asked
