"""Officers' signatures as they stand in documents. Pure."""

from preklic_workers.officers import Signed
from preklic_workers.store.mongo import Doc


def signed_doc(signed: Signed) -> Doc:
    """A signature as a part of a document."""
    return {"officer": signed.officer, "public": signed.public, "signature": signed.signature, "at": signed.at}


def signed_of(doc: Doc) -> Signed:
    """A signature as it was recorded, not yet checked."""
    return Signed(doc["officer"], bytes(doc["public"]), bytes(doc["signature"]), doc["at"])
