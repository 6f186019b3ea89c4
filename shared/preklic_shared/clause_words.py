"""The words in which a registry is explained to people, in the two languages of the policy."""

from collections.abc import Mapping
from typing import Final, Literal

Language = Literal["sl", "en"]

LABELS: Final[Mapping[Language, Mapping[str, str]]] = {
    "sl": {
        "does": "Kaj se zgodi z naslovom",
        "basis": "Pravna podlaga",
        "kept": "Kako dolgo",
        "who": "Kdo",
        "processors": "Obdelovalci",
        "stop": "Ali lahko to ustavite",
        "groups": "Podatki, ki se odprejo",
        "reading": "Kako to beremo",
        "record": "Zapis",
    },
    "en": {
        "does": "What is done with the address",
        "basis": "Legal basis",
        "kept": "For how long",
        "who": "By whom",
        "processors": "Processors",
        "stop": "Whether you can stop it",
        "groups": "Data that are opened",
        "reading": "How we read it",
        "record": "Record",
    },
}
BASES: Final[Mapping[Language, Mapping[str, str]]] = {
    "sl": {
        "consent": "vaša privolitev (člen 6(1)(a) GDPR)",
        "contract": "pogodba z vami (člen 6(1)(b) GDPR)",
        "legal_obligation": "zakonska obveznost (člen 6(1)(c) GDPR)",
        "interest": "zakoniti interes (člen 6(1)(f) GDPR)",
    },
    "en": {
        "consent": "your consent (GDPR 6(1)(a))",
        "contract": "the contract with you (GDPR 6(1)(b))",
        "legal_obligation": "a legal obligation (GDPR 6(1)(c))",
        "interest": "a legitimate interest (GDPR 6(1)(f))",
    },
}
STOPS: Final[Mapping[Language, Mapping[str, str]]] = {
    "sl": {
        "mail": "Da, takoj: s povezavo v vsakem sporočilu ali v svojih nastavitvah.",
        "tracking": "Da, takoj: v svojih nastavitvah, posebej za odpiranje in za klike.",
        "consent": "Da: s preklicem privolitve.",
        "objection": "Da: z ugovorom.",
        "contract": "Ne, dokler pogodba traja: zanjo je to potrebno.",
        "legal_obligation": "Ne: to zahteva zakon.",
        "interest": "Ne: interes prevlada, kot je stehtano v zapisu.",
    },
    "en": {
        "mail": "Yes, at once: by the link in each message, or in your preferences.",
        "tracking": "Yes, at once: in your preferences, opens and clicks apart.",
        "consent": "Yes: by withdrawing your consent.",
        "objection": "Yes: by objecting.",
        "contract": "No, while the contract lasts: it needs this.",
        "legal_obligation": "No: the law demands it.",
        "interest": "No: the interest prevails, as weighed in its record.",
    },
}
GROUPS: Final[Mapping[Language, Mapping[str, str]]] = {
    "sl": {
        "contact": "naslov",
        "profile": "profil",
        "service": "storitve",
        "payments": "plačila",
        "recovery": "izterjava",
        "court": "sodni postopki",
        "evidence": "dokazila",
    },
    "en": {
        "contact": "address",
        "profile": "profile",
        "service": "services",
        "payments": "payments",
        "recovery": "recovery",
        "court": "court proceedings",
        "evidence": "evidence",
    },
}
PHRASES: Final[Mapping[Language, Mapping[str, str]]] = {
    "sl": {
        "kept": "Zapisi o tej uporabi {days} dni, naslov do preklica.",
        "storage": "Do preklica. Po {days} dneh brez stikov se hramba pregleda.",
        "nothing": "nobeni",
        "nobody": "trenutno noben",
        "until": "pogodba do",
        "assessment": "presoja združljivosti",
        "balancing": "tehtanje interesov",
        "contract": "pogodba",
        "law": "zakonska podlaga",
        "customer": "pridobitev naslova ob prodaji",
        "dated": "z dne",
    },
    "en": {
        "kept": "Records of this use for {days} days, the address until you withdraw.",
        "storage": "Until you withdraw. After {days} days without contact it is reviewed.",
        "nothing": "none",
        "nobody": "none at present",
        "until": "contract until",
        "assessment": "assessment of compatibility",
        "balancing": "balancing of interests",
        "contract": "contract",
        "law": "law that obliges",
        "customer": "how the address came with a sale",
        "dated": "dated",
    },
}
