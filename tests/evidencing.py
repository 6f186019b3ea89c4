"""Bundles of evidence for tests, and as somebody packs them anew who wants to be believed."""

import hashlib
import resource
import subprocess
import venv

from ledgering import KEY, NAME
from preklic_workers.evidence import Issuer, export
from preklic_workers.ledger.archive import archive
from preklic_workers.ledger.bundle import MANIFEST, SIGNATURE, manifest_text
from preklic_workers.ledger.notes import signed_note
from preklic_workers.ledger.verify import canonical, read_canonical
from storing import REGISTRY


async def bundle_of(store, about, *dkim):
    """What `preklic evidence export` writes."""
    return await export(store, about, Issuer(NAME, KEY, REGISTRY, dkim=dkim), "mojca", "II P 12/2026")


def listed(files, key=None):
    """The archive again, its manifest mended for these files, and signed with `key`; else the signature stays."""
    manifest = read_canonical(files[MANIFEST], "it")
    theirs = {name: octets for name, octets in files.items() if name not in {MANIFEST, SIGNATURE}}
    manifest["files"] = {name: hashlib.sha256(octets).hexdigest() for name, octets in theirs.items()}
    manifest["leaves"] = [one for one in manifest["leaves"] if f"leaves/{one['place']}.json" in files]
    text = canonical(manifest)
    note = signed_note(manifest_text(NAME, text), NAME, key).encode() if key else files[SIGNATURE]
    return archive(files | {MANIFEST: text, SIGNATURE: note})


def bare_in(folder):
    """`run(script, *given)` runs a script in an empty virtual environment; it takes at most a second of its CPU."""
    venv.create(folder, with_pip=False, symlinks=True)

    def run(script, *given):
        argv = [str(folder / "bin" / "python"), "-I", str(script), *map(str, given)]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, cwd=script.parent, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1
        return done

    return run
