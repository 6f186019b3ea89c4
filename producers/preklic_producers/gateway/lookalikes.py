"""Links for answers to tokens that were not believed: like those to good ones, and good for nothing (attack 47)."""

import base64
import os
from typing import Final

from preklic_shared.ids import new_id, text_of
from preklic_shared.tokens import KEY_BYTES, PID_BYTES, Preference, TokenKeys, Unsubscribe

# A token begins with three octets of version, kind and key id; then come the ids of the mail and of the person.
_IDS: Final = slice(3, 35)
_SPELLED: Final = 48  # characters, of which those octets are the first


def centre_link(keys: TokenKeys, text: str, token: Unsubscribe | None) -> str:
    """The token of the preference centre of whoever got that mail: the one that stands in the mail's own footer.

    For a `text` that was not believed it spells the ids that the text spells, and is believed by nobody.
    """
    if token is not None:
        return keys.mint(Preference(token.message, token.pid))
    return strangers(keys).mint(Preference(*spelled(text)))


def strangers(keys: TokenKeys) -> TokenKeys:
    """Keys of the same id that nobody holds."""
    return TokenKeys({keys.current: os.urandom(KEY_BYTES)}, keys.current)


def spelled(text: str) -> tuple[str, bytes]:
    """The message and the pid that a text spells, whoever signed it; fresh ones where it spells none."""
    try:
        ids = base64.b64decode(text[:_SPELLED], altchars=b"-_", validate=True)[_IDS]
    except ValueError:
        ids = b""
    if len(ids) != _IDS.stop - _IDS.start:
        return new_id(), os.urandom(PID_BYTES)
    return text_of(ids[:16]), ids[16:]
