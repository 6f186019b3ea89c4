"""Individual mail (U3): which of a person's fields a template gets, and when it gets none. Pure.

`individual` and the gate's `unobjected` must agree on every person: a property test holds them together.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from preklic_shared.registry import Purpose
from preklic_workers.permission import Person


def individual(person: Person, purpose: Purpose) -> bool:
    """Whether mail for `purpose` may be made individual: the registry allows fields, and the person has not objected.

    After an objection (GDPR 21(2)) the general variant goes out; the mail itself stays allowed.
    """
    if purpose.profiling is None:
        return False
    said = person.permissions.get(purpose.profiling)
    return said is None or said.state == "granted"


def handed(fields: Mapping[str, Any], asked: Sequence[str], purpose: Purpose) -> Mapping[str, Any]:
    """What a template gets of `fields`: what it asks for *and* the purpose allows; None where the person has none.

    Empty when there is nothing of it at all: then the mail is the general one.
    """
    names = [name for name in asked if name in purpose.fields.profile]
    return {name: fields.get(name) for name in names} if any(name in fields for name in names) else {}
