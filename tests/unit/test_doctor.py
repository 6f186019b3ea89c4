"""The doctor's rules: what is a finding and what is none. Pure."""

import datetime as dt

import pytest

from preklic_shared.topology import ROLES, bindings
from preklic_workers.binding_drift import compare
from preklic_workers.dkim_keys import generate
from preklic_workers.doctor.broker import compare_rights, switched_off, wanted_of
from preklic_workers.doctor.carriers import expiry
from preklic_workers.doctor.database import SKEW, skewed
from preklic_workers.doctor.records import dkim, dmarc, mta_sts, mx, spf
from preklic_workers.doctor.resolver import split

DOMAIN = "lucrum.example"
KEY = generate(DOMAIN, "s1", "ed25519")
RECORD = KEY.record().strip('"')


def whats(found):
    """What each finding says; every one says why and how to mend it."""
    listed = list(found)
    assert all(one.why and one.mend for one in listed)
    return [one.what for one in listed]


@pytest.mark.parametrize(
    ("texts", "word"),
    [
        (["v=spf1 ip4:192.0.2.1 -all", "other"], None),
        (["V=SPF1 include:a.example ~all"], None),
        (["v=spf1 redirect=_spf.example"], None),
        ([], "no SPF record"),
        (["v=spf10 -all"], "no SPF record"),
        (["v=spf1 -all", "v=spf1 a -all"], "2 SPF records"),
        (["v=spf1 +all"], "lets everybody send"),
        (["v=spf1 all"], "lets everybody send"),
        (["v=spf1 ip4:192.0.2.1"], "says nothing of other hosts"),
        (["v=spf1 " + " ".join(f"include:{n}.example" for n in range(11)) + " -all"], "looks up 11 names"),
        (["v=spf1 a mx a:x.example " + "exists:%{i}.example " * 10 + "-all"], "looks up 13 names"),
    ],
)
def test_spf(texts, word):
    found = whats(spf(DOMAIN, texts))
    assert found == [] if word is None else word in " ".join(found)


@pytest.mark.parametrize(
    ("texts", "word"),
    [
        ([RECORD], None),
        ([RECORD.replace("p=", "p= ")], None),
        (["unrelated", RECORD], None),
        ([], "no record"),
        (["v=DKIM1; k=ed25519; p="], "revoked"),
        ([generate(DOMAIN, "s1", "ed25519").record().strip('"')], "another key"),
        ([RECORD + "; t=y:s"], "test mode"),
    ],
)
def test_dkim(texts, word):
    found = whats(dkim(KEY, texts))
    assert found == [] if word is None else word in " ".join(found)
    assert KEY.pem().decode().splitlines()[1] not in repr(list(dkim(KEY, texts)))


@pytest.mark.parametrize(
    ("texts", "word"),
    [
        (["v=DMARC1; p=reject"], None),
        (["v=DMARC1;p=Quarantine; pct=100"], None),
        ([], "no DMARC policy"),
        (["v=DMARC1; p=none"], "asks for nothing"),
        (["v=DMARC1; sp=reject"], "asks for nothing"),
    ],
)
def test_dmarc(texts, word):
    found = whats(dmarc(DOMAIN, texts))
    assert found == [] if word is None else word in " ".join(found)


def test_mta_sts_and_mx():
    assert whats(mta_sts(DOMAIN, ["v=STSv1; id=20261127"])) == []
    assert len(whats(mta_sts(DOMAIN, ["v=STSv1"]))) == len(whats(mta_sts(DOMAIN, []))) == 1
    assert whats(mx(DOMAIN, ["mx.lucrum.example"])) == []
    # A null MX (RFC 7505) takes no mail.
    assert len(whats(mx(DOMAIN, [""]))) == len(whats(mx(DOMAIN, []))) == 1


@pytest.mark.parametrize("text", ["x=" * 100_000, "p=;" * 50_000, "\0;=;=\u202e", "v=DKIM1"])
def test_hostile_records_are_findings_and_no_fault_of_ours(text):
    assert whats(dkim(KEY, [text]))
    assert whats(spf(DOMAIN, [f"v=spf1 {text}"]))
    assert whats(dmarc(DOMAIN, [f"v=DMARC1; {text}"]))


@pytest.mark.parametrize("place", ["localhost", "9.9.9.9:0", "9.9.9.9:99999", "9.9.9.9:x", "", "[::1", "1.2.3"])
def test_a_resolver_is_an_address(place):
    if place == "[::1":
        assert split(place) == ("::1", 53)
    else:
        with pytest.raises(ValueError, match=r"IPv4|port|int"):
            split(place)


def rows_of_bindings():
    return [
        {
            "source": one.exchange,
            "destination": one.queue,
            "destination_type": "queue",
            "routing_key": one.key,
            "arguments": dict(one.arguments),
        }
        for one in bindings()
    ]


def test_bindings_are_compared_both_ways():
    rows = rows_of_bindings()
    assert compare([*rows, rows[0] | {"source": ""}, rows[0] | {"source": "elsewhere"}]) == []
    lost = [row for row in rows if (row["source"], row["destination"]) != ("jobs", "jobs.log")]
    assert {(one.problem, one.name) for one in compare(lost)} >= {("missing", "jobs -> jobs.log (revoke)")}
    spy = rows[0] | {"destination": "spy", "routing_key": "#"}
    copied = rows[0] | {"source": "return", "destination": "jobs.log", "routing_key": "revoke"}
    onward = rows[0] | {"destination": "other", "destination_type": "exchange"}
    found = {(one.problem, one.name) for one in compare([*rows, spy, copied, onward])}
    assert found == {
        ("extra", "jobs -> spy (#)"),
        ("extra", "return -> jobs.log (revoke)"),
        ("extra", f"jobs -> exchange other ({rows[0]['routing_key']})"),
    }
    swapped = [row if row["arguments"] != {"x-match": "all", "tier": "5s"} else row | {"arguments": {}} for row in rows]
    assert [one.problem for one in compare(swapped)] == ["missing", "extra"]


def test_rights_are_compared_both_ways():
    plain = [{"user": role, **wanted_of(rights)} for role, rights in ROLES.items()]
    topics = [{"user": role, "exchange": "jobs", "write": rights.keys} for role, rights in ROLES.items()]
    assert (
        whats(compare_rights([*plain, {"user": "guest", "configure": ".*", "write": ".*", "read": ".*"}], topics)) == []
    )
    more = [row | {"read": ".*"} if row["user"] == "send" else row for row in plain]
    assert whats(compare_rights(more, topics)) == [r"the user send may read .*, its role ^send\.(now|bulk)$"]
    # Without an entry RabbitMQ allows every key.
    none = [row for row in topics if row["user"] != "feedback"]
    assert "every key" in " ".join(whats(compare_rights(plain, none)))


def test_flags_clocks_and_certificates():
    flags = [{"name": "a", "state": "enabled", "stability": "stable"}, {"name": "b", "state": "disabled"}]
    assert switched_off([*flags, {"name": "c", "state": "disabled", "stability": "stable"}]) == ["c"]
    assert whats(skewed("the broker", SKEW, SKEW)) == []
    assert "3600 s behind" in whats(skewed("the broker", -dt.timedelta(hours=1), SKEW))[0]
    now = dt.datetime(2026, 11, 27, tzinfo=dt.UTC)
    assert whats(expiry({"notAfter": "Dec 27 00:00:00 2026 GMT"}, now, "r")) == []
    assert "in 3 days" in whats(expiry({"notAfter": "Nov 30 00:00:00 2026 GMT"}, now, "r"))[0]
