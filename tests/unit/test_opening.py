import asyncio
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preklic_shared.registry import DEFAULT
from preklic_workers import opening
from preklic_workers.envelope import GROUPS
from preklic_workers.opening import Forbidden, open_fields
from storing import REGISTRY

# The registry's table, read by no code of ours.
TABLE = {one["key"]: set(one["groups"]) for one in tomllib.loads(DEFAULT.read_text("utf-8"))["purposes"]}
KEYS = st.sampled_from([*TABLE, "sale", "", "Newsletter"]) | st.text(max_size=10)


def answer(group, purpose):
    try:
        opening.check_may(REGISTRY, group, purpose)
    except Forbidden:
        return False
    return True


@pytest.mark.clause("P2", guard="preklic_workers.opening:check_may")
@given(group=st.sampled_from(GROUPS) | st.text(max_size=10), purpose=KEYS)
def test_a_group_opens_for_a_purpose_exactly_as_the_registrys_table_says(group, purpose):
    assert answer(group, purpose) == (group in TABLE.get(purpose, ()))


@pytest.mark.clause("P2", guard="preklic_shared.registry:Registry.may_open")
@pytest.mark.parametrize(
    ("group", "purpose"), [(g, p) for p in [*TABLE, "sale"] for g in GROUPS if g not in TABLE.get(p, ())]
)
def test_what_is_not_allowed_is_refused_before_anything_is_read(group, purpose):
    with pytest.raises(Forbidden):
        asyncio.run(open_fields(None, REGISTRY, "p" * 43, group, purpose))
