"""An exhaustive search of the gate protocol as it is built (law 1): `python -m models.gate [VARIANT ...]`.

Without a variant every configuration is searched and must hold; a variant drops one rule and must fall.
"""

import gc
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

from models import around, conversing, sending
from models.protocol import Setup, State, Steps
from models.safety import GOALS, fault
from models.setups import SETUPS
from models.turns import Turn
from models.variants import VARIANTS, Variant

_STEPS = {**sending.STEPS, **conversing.STEPS}


@dataclass(frozen=True, slots=True)
class Found:
    """`fault` is the property that fell, empty when all held; `path` the steps to it."""

    setup: Setup
    states: int
    seconds: float
    fault: str = ""
    path: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()

    def __str__(self) -> str:
        said = self.fault or (f"never reached: {', '.join(self.missed)}" if self.missed else "holds")
        line = f"{self.setup.name}: {self.states} states, {self.seconds:.1f} s: {said}"
        return line + "".join(f"\n   {number:2} {name}" for number, name in enumerate(self.path, 1))


def steps(setup: Setup, s: State) -> Steps:
    """Every step from here."""
    for i, w in enumerate(s.workers):
        if i and w == s.workers[i - 1]:
            continue
        yield from _STEPS[w.at](Turn(setup, s, i, w))
    yield from around.steps(setup, s)


def search(setup: Setup, goals: tuple[str, ...] = ()) -> Found:
    """Breadth first, so that a path to a fault is a shortest one."""
    begun = time.perf_counter()
    gc.disable()  # millions of tuples and no cycle: the collector would look at them again and again
    try:
        return _search(setup, goals, begun)
    finally:
        gc.enable()


def _search(setup: Setup, goals: tuple[str, ...], begun: float) -> Found:
    first = setup.start()
    came: dict[State, tuple[State, str] | None] = {first: None}
    todo = deque([first])
    missed = dict.fromkeys(goals)
    while todo:
        s = todo.popleft()
        if (broken := fault(setup, s)) is not None:
            return Found(setup, len(came), time.perf_counter() - begun, broken, _path(came, s))
        for goal in [goal for goal in missed if GOALS[goal](s)]:
            del missed[goal]
        for name, after in steps(setup, s):
            known = len(came)
            came.setdefault(after, (s, name))
            if len(came) > known:
                todo.append(after)
    return Found(setup, len(came), time.perf_counter() - begun, missed=tuple(missed))


def _path(came: Mapping[State, tuple[State, str] | None], s: State) -> tuple[str, ...]:
    names = []
    while (step := came[s]) is not None:
        s, name = step
        names.append(name)
    return tuple(reversed(names))


@cache
def whole(name: str) -> Found:
    """The whole of one configuration."""
    return search(SETUPS[name].setup, SETUPS[name].goals)


def broken(variant: Variant) -> Found:
    """The configuration in which this variant falls, searched until it does."""
    tried = SETUPS[variant.setup]
    return search(replace(tried.setup, variants=frozenset(variant.name.split("+"))), tried.goals)


def main(names: list[str]) -> int:
    """Print what was found; 1 when a configuration does not hold or a variant does not fall as it should."""
    wrong = 0
    for name in [] if names else SETUPS:
        found = whole(name)
        wrong += bool(found.fault or found.missed)
        sys.stdout.write(f"{found}\n")
    for variant in [variant for variant in VARIANTS if not names or variant.name in names]:
        found = broken(variant)
        wrong += found.fault != variant.falls or not (found.fault or found.missed)
        sys.stdout.write(f"\n{variant.name} ({variant.meaning})\n{found}\n")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
