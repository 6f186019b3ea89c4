"""Who else vouches for the ledger's heads, as the settings say: a stamping authority, and witnesses."""

from preklic_shared.settings import Settings
from preklic_workers import cosigned, stamping, witness
from preklic_workers.again import Again
from preklic_workers.cosigned import Submitter
from preklic_workers.stamping import Stamper
from preklic_workers.store.stamps import StampStore
from preklic_workers.witness import Witness


def vouchers(settings: Settings, store: StampStore) -> list[Again]:
    """What runs beside the sequencer. Raises SettingsError for STAMPS__CA and COSIGNER__KEY."""
    again = []
    if settings.stamps is not None:
        stamper = Stamper(store, settings.stamps, stamping.trust_of(settings.stamps))
        again.append(Again("stamps", stamper.once, stamping.EVERY))
    if settings.witness is not None:
        again.append(Again("witness", Witness(store, settings.witness).once, witness.EVERY))
    if settings.cosigner is not None:
        submitter = Submitter(store, settings.cosigner, cosigned.cosigner_key(settings.cosigner))
        again.append(Again("cosigner", submitter.once, cosigned.EVERY))
    return again
