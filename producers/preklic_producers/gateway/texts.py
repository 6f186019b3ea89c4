"""The words of the public pages, in the two languages of the policy."""

from typing import Final, Literal

Language = Literal["sl", "en"]

TEXTS: Final[dict[Language, dict[str, str]]] = {
    "sl": {
        "stop_title": "Odjava",
        "stop_ask": "Ali želite, da vam teh sporočil ne pošiljamo več?",
        "stop_button": "Da, odjavite me",
        "stop_done": "Odjava je sprejeta. Teh sporočil vam ne bomo več pošiljali.",
        "prefs_title": "Vaše nastavitve",
        "prefs_intro": "Tu lahko ustavite posamezna sporočila. Ustavitev velja takoj.",
        "prefs_none": "Trenutnega stanja ta hip ne moremo prikazati. Ustavite lahko kar koli.",
        "prefs_stop": "Ustavi",
        "prefs_start": "Prijavi me",
        "prefs_stop_all": "Ustavi vse",
        "prefs_done": "Vaša izbira je sprejeta. Ustavitev velja takoj, novo prijavo pa morate še potrditi.",
        "erase_title": "Izbris podatkov",
        "erase_open": "Izbriši moje podatke",
        "erase_ask": "Ali želite, da izbrišemo vse, kar hranimo o vas? Ustavimo tudi vsa sporočila razen pogodbenih. "
        "Izbrisanega ni mogoče vrniti. Če imamo z vami odprto pogodbo, zanjo ostane naslov.",
        "erase_button": "Da, izbrišite moje podatke",
        "erase_done": "Zahteva za izbris je sprejeta. Potrdilo najdete na tej povezavi čez minuto.",
        "erased_title": "Vaši podatki so izbrisani",
        "erased_when": "Vaše podatke smo izbrisali {day}.",
        "erased_stays": "Ostal je le šifriran odtis naslova brez naslova samega, da vas noben uvoz ne vrne na seznam.",
        "erased_kept": "Del podatkov ostaja, ker nas k temu zavezuje odprta pogodba ali pravni zahtevek.",
        "erased_receipt": "Številka potrdila",
        "state_granted": "prijavljeni",
        "state_pending": "čaka na potrditev",
        "state_withdrawn": "odjavljeni",
        "state_objected": "ugovarjali ste",
        "individual": "prilagajanje vam",
        "individual_granted": "vključeno",
        "individual_objected": "izključeno, prejemate splošno različico",
        "individual_stop": "Ne prilagajajte",
        "individual_start": "Prilagajajte",
        "opens": "Beleženje odpiranja sporočil",
        "clicks": "Beleženje klikov na povezave",
        "confirm_title": "Potrditev prijave",
        "confirm_ask": "Ali potrjujete prijavo?",
        "confirm_button": "Da, potrjujem",
        "confirm_done": "Hvala. Če je bila povezava veljavna, je prijava potrjena.",
        "policy_title": "Politika zasebnosti",
        "policy_promises": "Naše zaveze",
        "policy_purposes": "Nameni",
        "policy_promise": "Zaveza",
        "policy_contents": "Vsebina",
        "policy_here": "Slovensko",
        "policy_intro": "Vsaka določba politike, z njenimi besedami, in kaj z vašim naslovom zares naredi naš program.",
        "policy_foot": (
            "Stran je narejena iz registra, po katerem program dela. Program politiko podpira; zakonitosti podjetja ne "
            "zagotavlja."
        ),
        "busy_title": "Poskusite znova",
        "busy": "Vaše zahteve ta hip ne moremo sprejeti. Poskusite čez nekaj minut.",
        "bad_title": "Tega ne razumemo",
        "bad": "Zahteve nismo razumeli. Nič se ni spremenilo.",
    },
    "en": {
        "stop_title": "Unsubscribe",
        "stop_ask": "Shall we stop sending you these messages?",
        "stop_button": "Yes, unsubscribe me",
        "stop_done": "Your withdrawal is accepted. We will not send you these messages any more.",
        "prefs_title": "Your preferences",
        "prefs_intro": "Here you can stop each kind of message. A stop takes effect at once.",
        "prefs_none": "We cannot show the present state right now. You can stop anything.",
        "prefs_stop": "Stop",
        "prefs_start": "Subscribe me",
        "prefs_stop_all": "Stop everything",
        "prefs_done": "Your choice is accepted. A stop takes effect at once; a new subscription has to be confirmed.",
        "erase_title": "Erasure of your data",
        "erase_open": "Erase my data",
        "erase_ask": "Shall we erase all that we keep about you? All messages stop but those of a contract. What is "
        "erased cannot be brought back. If you have an open contract with us, your address stays for it alone.",
        "erase_button": "Yes, erase my data",
        "erase_done": "Your request to be erased is accepted. In a minute this link shows the receipt.",
        "erased_title": "Your data are erased",
        "erased_when": "We erased your data on {day} (day, month, year).",
        "erased_stays": "A keyed hash of your address is left, not the address, so that no import can bring you back.",
        "erased_kept": "Some data stay, because an open contract or a legal claim obliges us.",
        "erased_receipt": "Number of the receipt",
        "state_granted": "subscribed",
        "state_pending": "waits for confirmation",
        "state_withdrawn": "not subscribed",
        "state_objected": "you objected",
        "individual": "made individual for you",
        "individual_granted": "on",
        "individual_objected": "off, you get the general version",
        "individual_stop": "Do not make them individual",
        "individual_start": "Make them individual",
        "opens": "Recording when messages are opened",
        "clicks": "Recording clicks on links",
        "confirm_title": "Confirm your subscription",
        "confirm_ask": "Do you confirm the subscription?",
        "confirm_button": "Yes, I confirm",
        "confirm_done": "Thank you. If the link was valid, the subscription is confirmed.",
        "policy_title": "Privacy policy",
        "policy_promises": "Our promises",
        "policy_purposes": "Purposes",
        "policy_promise": "Promise",
        "policy_contents": "Contents",
        "policy_here": "English",
        "policy_intro": "Each clause of the policy in its words, and what our software really does with your address.",
        "policy_foot": (
            "This page is made from the register that the software obeys. The software supports a policy; it does not "
            "make a company lawful."
        ),
        "busy_title": "Please try again",
        "busy": "We cannot take your request right now. Please try again in a few minutes.",
        "bad_title": "We did not understand",
        "bad": "We did not understand the request. Nothing has changed.",
    },
}


def language_of(accept: str) -> Language:
    """The better of the two for an Accept-Language header (RFC 9110, section 12.5.4); Slovenian when it says nothing.

    >>> language_of("de, en;q=0.8, sl;q=0.3"), language_of(""), language_of("en-GB")
    ('en', 'sl', 'en')
    """
    best: tuple[float, Language] = (0.0, "sl")
    for part in accept[:500].split(","):
        tag, _, quality = part.strip().partition(";q=")
        name = tag.partition("-")[0].lower()
        if name in ("sl", "en") and (weight := _quality(quality)) > best[0]:
            best = (weight, "en" if name == "en" else "sl")
    return best[1]


def _quality(text: str) -> float:
    try:
        return float(text) if text else 1.0
    except ValueError:
        return 0.0
