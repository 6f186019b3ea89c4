"""The words of the public pages, in the two languages of the policy."""

from typing import Final, Literal

Language = Literal["sl", "en"]

OTHER: Final[dict[Language, Language]] = {"sl": "en", "en": "sl"}

# A line end in a text begins a paragraph.
TEXTS: Final[dict[Language, dict[str, str]]] = {
    "sl": {
        "here": "Slovenščina",
        "language": "Jezik",
        "back": "Nazaj na nastavitve",
        "to_centre": "Vse vaše nastavitve",
        "receipt": "Številka potrdila",
        "stop_title": "Odjava",
        "stop_ask": "Ali želite, da vam teh sporočil ne pošiljamo več?\nUstavili bomo vrsto sporočil, v kateri ste "
        "odprli to "
        "povezavo. Druge vrste ostanejo, kakor ste jih izbrali.",
        "stop_button": "Da, odjavite me",
        "stop_done_title": "Odjavljeni ste",
        "stop_done": "Teh sporočil vam ne bomo več pošiljali. Odjava velja za vrsto sporočil, v kateri ste odprli "
        "to povezavo.\n"
        "Velja takoj in ostane, dokler se sami znova ne prijavite.",
        "prefs_title": "Vaše nastavitve",
        "prefs_intro": "Tu izberete, katera sporočila vam smemo pošiljati. Ustavitev velja takoj.",
        "prefs_none": "Trenutnega stanja ta hip ne moremo prikazati. Ustavite lahko kar koli.",
        "prefs_mails": "Sporočila",
        "prefs_stop": "Ustavi",
        "prefs_start": "Prijavi me",
        "prefs_all": "Vse naenkrat",
        "prefs_all_means": "Ustavi vsa zgornja sporočila in vse beleženje. Pogodbena sporočila ostanejo. "
        "Če potem ni več razloga za hrambo, vaše podatke tudi izbrišemo.",
        "prefs_stop_all": "Ustavi vse",
        "prefs_tracking": "Beleženje",
        "prefs_fixed": "Ta sporočila spadajo k pogodbi, zato jih ni mogoče ustaviti. V njih ni beleženja.",
        "prefs_done_title": "Izbira je sprejeta",
        "prefs_everything": "vsa sporočila in vse beleženje",
        "prefs_stopped": "Ustavljeno: {titles}.",
        "prefs_started": "Nova prijava: {titles}.",
        "prefs_stop_holds": "Velja takoj in ostane, dokler se sami znova ne prijavite.",
        "prefs_start_now": "Velja takoj.",
        "prefs_start_confirm": "Veljala bo, ko jo potrdite s povezavo, ki jo prejmete po e-pošti.",
        "prefs_start_wait": "Če ste to ustavili pred manj kot petimi minutami, še velja ustavitev: poskusite pozneje.",
        "erase_title": "Izbris podatkov",
        "erase_means": "Izbrišemo vse, kar hranimo o vas. Pred tem vas še enkrat vprašamo.",
        "erase_open": "Izbriši moje podatke",
        "erase_ask": "Ali želite, da izbrišemo vse, kar hranimo o vas?\nUstavimo tudi vsa sporočila razen pogodbenih. "
        "Izbrisanega ni mogoče vrniti. Če imamo z vami odprto pogodbo, zanjo ostane naslov.",
        "erase_button": "Da, izbrišite moje podatke",
        "erase_done_title": "Zahteva za izbris je sprejeta",
        "erase_done": "Potrdilo o izbrisu najdete na tej povezavi čez minuto.",
        "erased_title": "Vaši podatki so izbrisani",
        "erased_when": "Vaše podatke smo izbrisali {day}.",
        "erased_stays": "Ostal je le šifriran odtis naslova brez naslova samega, da vas noben uvoz ne vrne na seznam.",
        "erased_kept": "Del podatkov ostaja, ker nas k temu zavezuje odprta pogodba ali pravni zahtevek.",
        "state": "Stanje",
        "state_granted": "prijavljeni ste",
        "state_pending": "čaka na vašo potrditev",
        "state_withdrawn": "niste prijavljeni",
        "state_objected": "ugovarjali ste",
        "track_granted": "dovoljeno",
        "track_pending": "čaka na vašo potrditev",
        "track_withdrawn": "ni dovoljeno",
        "track_stop": "Ne dovolim več",
        "track_start": "Dovolim",
        "individual": "prilagajanje vam",
        "individual_title": "Prilagajanje vam",
        "individual_means": "Vsebino izberemo glede na to, kar vemo o vas. Če ugovarjate, dobite splošno različico.",
        "individual_granted": "vključeno",
        "individual_objected": "izključeno, prejemate splošno različico",
        "individual_stop": "Ne prilagajajte",
        "individual_start": "Prilagajajte",
        "engagement.opens": "Beleženje odpiranja sporočil",
        "engagement.clicks": "Beleženje klikov na povezave",
        "confirm_title": "Potrditev prijave",
        "confirm_ask": "Ali potrjujete prijavo?",
        "confirm_button": "Da, potrjujem",
        "confirm_done_title": "Hvala",
        "confirm_done": "Če je bila povezava veljavna, je prijava potrjena.\nUstavite jo lahko kadar koli, s "
        "povezavo na koncu "
        "vsakega sporočila.",
        "policy_title": "Politika zasebnosti",
        "policy_promises": "Naše zaveze",
        "policy_purposes": "Nameni",
        "policy_promise": "Zaveza",
        "policy_contents": "Vsebina",
        "policy_intro": "Vsaka določba politike, z njenimi besedami, in kaj z vašim naslovom zares naredi naš program.",
        "policy_foot": (
            "Stran je narejena iz registra, po katerem program dela. Program politiko podpira; zakonitosti podjetja ne "
            "zagotavlja."
        ),
        "busy_title": "Poskusite znova",
        "busy": "Vaše zahteve ta hip ne moremo sprejeti. Poskusite čez nekaj minut.",
        "bad_title": "Tega ne razumemo",
        "bad": "Zahteve nismo razumeli. Nič se ni spremenilo.",
        "missing_title": "Te strani ni",
        "missing": "Morda je povezava prekinjena. Odprite jo znova iz sporočila, ki ste ga prejeli.",
    },
    "en": {
        "here": "English",
        "language": "Language",
        "back": "Back to your preferences",
        "to_centre": "All your preferences",
        "receipt": "Number of the receipt",
        "stop_title": "Unsubscribe",
        "stop_ask": "Shall we stop sending you these messages?\nWe will stop the kind of message in which you "
        "opened this link. "
        "Other kinds stay as you chose them.",
        "stop_button": "Yes, unsubscribe me",
        "stop_done_title": "You are unsubscribed",
        "stop_done": "We will not send you these messages any more. That holds for the kind of message in which you "
        "opened this "
        "link.\nIt holds at once, and until you yourself say yes again.",
        "prefs_title": "Your preferences",
        "prefs_intro": "Choose here what we may send you. A stop takes effect at once.",
        "prefs_none": "We cannot show the present state right now. You can stop anything.",
        "prefs_mails": "Messages",
        "prefs_stop": "Stop",
        "prefs_start": "Subscribe me",
        "prefs_all": "All at once",
        "prefs_all_means": "Stops all messages above and all recording. Messages of a contract stay. "
        "If nothing else needs your data, they are then erased as well.",
        "prefs_stop_all": "Stop everything",
        "prefs_tracking": "Recording",
        "prefs_fixed": "These messages belong to a contract and cannot be stopped. Nothing in them is recorded.",
        "prefs_done_title": "Your choice is accepted",
        "prefs_everything": "all messages and all recording",
        "prefs_stopped": "Stopped: {titles}.",
        "prefs_started": "New subscription: {titles}.",
        "prefs_stop_holds": "It holds at once, and until you yourself say yes again.",
        "prefs_start_now": "It holds at once.",
        "prefs_start_confirm": "It will hold when you confirm it by the link that you get by e-mail.",
        "prefs_start_wait": "If you stopped it less than five minutes ago, the stop still holds: please "
        "try again later.",
        "erase_title": "Erasure of your data",
        "erase_means": "We erase all that we keep about you. You are asked once more before that.",
        "erase_open": "Erase my data",
        "erase_ask": "Shall we erase all that we keep about you?\nAll messages stop but those of a contract. What is "
        "erased cannot be brought back. If you have an open contract with us, your address stays for it alone.",
        "erase_button": "Yes, erase my data",
        "erase_done_title": "Your request to be erased is accepted",
        "erase_done": "In a minute this link shows the receipt of the erasure.",
        "erased_title": "Your data are erased",
        "erased_when": "We erased your data on {day} (day, month, year).",
        "erased_stays": "A keyed hash of your address is left, not the address, so that no import can bring you back.",
        "erased_kept": "Some data stay, because an open contract or a legal claim obliges us.",
        "state": "State",
        "state_granted": "subscribed",
        "state_pending": "waits for your confirmation",
        "state_withdrawn": "not subscribed",
        "state_objected": "you objected",
        "track_granted": "allowed",
        "track_pending": "waits for your confirmation",
        "track_withdrawn": "not allowed",
        "track_stop": "I do not allow it any more",
        "track_start": "I allow it",
        "individual": "made individual for you",
        "individual_title": "Made individual for you",
        "individual_means": "We choose the content by what we know of you. If you object, you get the general version.",
        "individual_granted": "on",
        "individual_objected": "off, you get the general version",
        "individual_stop": "Do not make them individual",
        "individual_start": "Make them individual",
        "engagement.opens": "Recording when messages are opened",
        "engagement.clicks": "Recording clicks on links",
        "confirm_title": "Confirm your subscription",
        "confirm_ask": "Do you confirm the subscription?",
        "confirm_button": "Yes, I confirm",
        "confirm_done_title": "Thank you",
        "confirm_done": "If the link was valid, the subscription is confirmed.\nYou can stop it at any time, by the "
        "link at the "
        "end of each message.",
        "policy_title": "Privacy policy",
        "policy_promises": "Our promises",
        "policy_purposes": "Purposes",
        "policy_promise": "Promise",
        "policy_contents": "Contents",
        "policy_intro": "Each clause of the policy in its words, and what our software really does with your address.",
        "policy_foot": (
            "This page is made from the register that the software obeys. The software supports a policy; it does not "
            "make a company lawful."
        ),
        "busy_title": "Please try again",
        "busy": "We cannot take your request right now. Please try again in a few minutes.",
        "bad_title": "We did not understand",
        "bad": "We did not understand the request. Nothing has changed.",
        "missing_title": "There is no such page",
        "missing": "The link may be cut. Please open it again from the message that you received.",
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
