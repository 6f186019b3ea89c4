"""`verify.py` of a bundle: our own modules that check, one after the other, in a file that needs nothing else."""

import re
from pathlib import Path
from typing import Final

PARTS: Final = ("ed25519", "verify", "archive", "stamped", "batched", "witnessed", "bundle")
_OURS: Final = re.compile(r"^from preklic_workers\.ledger\.\w+ import (\(.*?^\)|.*?$)\n", re.MULTILINE | re.DOTALL)


def source() -> bytes:
    """The text of that file."""
    texts = [(Path(__file__).parent / f"{part}.py").read_text("utf-8") for part in PARTS]
    return "\n\n".join(_OURS.sub("", text) for text in texts).encode()
