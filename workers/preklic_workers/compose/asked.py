"""Which fields of a person's profile a template may ask for. Pure."""

from preklic_shared.registry import Purpose
from preklic_workers.compose.content import PROFILE, TemplateError
from preklic_workers.compose.templates import Template


def check_asked(template: Template, purpose: Purpose | None) -> None:
    """Refuse a template that asks for a field of the profile that its purpose does not allow (U3, U10).

    A field that is allowed comes from the profile alone: from a job's data it would outlive the person's objection.
    """
    allowed = purpose.fields.profile if purpose is not None else ()
    front = template.front
    if (beyond := next((field for field in front.profile if field not in allowed), None)) is not None:
        raise TemplateError(f"{template.name}: {PROFILE}.{beyond} is not allowed for its purpose")
    if (twice := next((field for field in allowed if field in (*front.fields, *front.optional)), None)) is not None:
        raise TemplateError(f"{template.name}: {twice} is of the profile, and no field of the data")
