"""The gate protocol, searched whole (law 1): as designed it holds, and each rule, dropped, breaks it."""

import pytest

from models.gate import broken, whole
from models.setups import SETUPS
from models.variants import VARIANTS, Variant


@pytest.mark.parametrize("name", SETUPS)
def test_the_protocol_holds_in_every_state(name: str) -> None:
    found = whole(name)
    assert found.fault == "", str(found)
    assert found.missed == (), str(found)
    assert found.states > 1000


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_each_rule_is_needed(variant: Variant) -> None:
    found = broken(variant)
    assert found.fault == variant.falls, str(found)
    if found.fault:
        assert 5 < len(found.path) < 40, "the shortest way to the fault, step by step"
    else:
        assert found.missed, "nothing falls and all is reached: the rule is not needed"
