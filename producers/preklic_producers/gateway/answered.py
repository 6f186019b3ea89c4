"""What the store answered about a person's preferences, read: what is not as it should be is no answer. Pure."""


def states(answer: dict[str, object] | None) -> dict[str, str] | None:
    """The states by purpose in an answer to `preferences`; None when there was none, or the person is unknown."""
    if answer is None or not known(answer):
        return None
    said = answer.get("permissions")
    return {key: state for key, state in said.items() if isinstance(state, str)} if isinstance(said, dict) else {}


def erasure_of(answer: dict[str, object] | None) -> dict[str, object] | None:
    """What the store told of the erasure of this person, if it did."""
    told = None if answer is None else answer.get("erased")
    return told if isinstance(told, dict) and isinstance(told.get("at"), int) else None


def known(answer: dict[str, object]) -> bool:
    """Whether the store knows the person; one that it does not gets the page of a forged token (U6)."""
    return isinstance(answer.get("permissions"), dict)
