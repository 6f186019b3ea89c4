"""What a bundle of evidence says of itself to a reader who knows nothing of ledgers, in Slovenian and English."""

from typing import Final

NAMES: Final = {
    "about": "Predmet / About",
    "why": "Razlog / Reason",
    "by": "Izdal / Issued by",
    "made": "Čas (UTC) / Time (UTC)",
    "ledger": "Knjiga / Ledger",
    "key": "Javni ključ / Public key",
    "records": "Zapisov / Records",
    "mails": "Sporočil / Mails",
}
"""Facts of a bundle, as its page calls them."""
# Paragraphs, each below its heading.
SLOVENIAN: Final = """\
Kaj je ta arhiv
Arhiv je dokazilo iz knjige, ki je nihče ne more neopazno spremeniti. Vsak zapis (leaves) je obveza do svoje vsebine
(openings): zgoščena vrednost SHA-256 z naključno soljo. Dokaz (proofs) kaže, da zapis stoji v knjigi, katere vrh
(checkpoints) je podpisan. Podpisan je tudi seznam vseh datotek (manifest): kdor datoteko doda, odvzame ali
spremeni, se s tem pokaže.

Kaj je v njem
Privolitve in preklici, z besedilom, kot je bilo prikazano (wordings); pošiljanja s kodami odgovorov SMTP;
odpiranja, kliki, poročila strežnikov in vrstice uvoženih seznamov (records), z zgoščenimi vrednostmi vsega, kar je
bilo zapisano skupaj z njimi (batches), ki ne imenujejo nikogar; sporočila, natanko kot so bila oddana, če so bila
zadržana (mails), in javni ključi njihovih podpisov (dkim.json); kdo je do podatkov dostopal, kdaj in zakaj
(custody.json).

Kako ga preverite
python3 verify.py ARHIV --key KLJUČ. Zadostuje Python 3, brez omrežja in brez naše programske opreme. Ključ dobite
od drugod, ne iz arhiva; ključ priče, ki je knjigo sopodpisala (--witness), pri njej. Izid: 0 drži, 1 spremenjeno,
2 nepopolno (vsebino je vzel izbris ali ni bila shranjena), 3 ključa od drugod ni.

Česa ne dokazuje
Dokazuje, kaj je bilo zapisano in da se pozneje ni spremenilo; ne dokazuje, da je kdo sporočilo prebral. Čas je čas
strežnika, kjer ni priložen časovni žig.
"""
ENGLISH: Final = """\
What this archive is
The archive is evidence from a ledger that nobody can change quietly. Each record (leaves) commits to its content
(openings): a SHA-256 hash with a random salt. A proof (proofs) shows that the record stands in the ledger whose
head (checkpoints) is signed. The list of all files (manifest) is signed too: whoever adds, takes away or changes a
file is found.

What it holds
Permissions and withdrawals, with the words as they were shown (wordings); sendings with the codes of the SMTP
replies; opens, clicks, reports of relays and rows of imported lists (records), each with the hashes of all that were
recorded together with it (batches), which name nobody; the mails octet for octet as they were handed over, where they
were held (mails), and the public keys of their signatures (dkim.json); who looked at the data, when and why
(custody.json).

How to check it
python3 verify.py ARCHIVE --key KEY. Python 3 is enough, without a network and without our software. Take the key
from elsewhere, not from the archive; that of a witness who signed the ledger, too (--witness), from the witness.
Result: 0 true, 1 altered, 2 incomplete (an erasure took the content, or it was not kept), 3 no key from elsewhere.

What it does not prove
It proves what was recorded, and that it was not changed later; not that somebody read the mail. Times are the
server's where no time stamp is enclosed.
"""


def sections(text: str) -> list[tuple[str, str]]:
    """Its headings, each with its paragraph on one line."""
    parted = (paragraph.partition("\n") for paragraph in text.strip().split("\n\n"))
    return [(heading, body.replace("\n", " ")) for heading, _, body in parted]
