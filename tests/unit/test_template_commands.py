"""`preklic template`: what is wrong with a template is said before anybody gets a mail of it."""

import json
import shutil

import pytest

from commanding import Commands
from preklic_workers import page_picture
from preklic_workers.compose.composer import SHIPPED


@pytest.fixture
def templates(tmp_path):
    return shutil.copytree(SHIPPED, tmp_path / "templates")


@pytest.fixture
def preklic(monkeypatch, capsys, templates):
    return Commands(
        monkeypatch, capsys, {"PREKLIC_TEMPLATE_DIR": str(templates), "PREKLIC_MAIL_DOMAIN": "lucrum.example"}
    )


def found(preklic, *names):
    code, out, _ = preklic("template", "check", *names, "--json")
    return code, {(row["template"], row["finding"]) for row in json.loads(out)}


def changed(place, old, new):
    text = place.read_text("utf-8")
    assert old in text
    place.write_text(text.replace(old, new), "utf-8")


def test_what_is_shipped_passes(preklic):
    assert found(preklic) == (0, set())
    assert preklic("template", "check", "nothing")[0] == 2


def test_each_fault_is_a_finding_with_its_template(preklic, templates):
    changed(templates / "offer/body.txt.j2", "{{ url }}", "")
    shutil.rmtree(templates / "payment-en")
    (templates / "welcome/sample.json").write_text('{"first_name": "Ana"}', "utf-8")
    (templates / "newsletter/sample.json").unlink()
    (templates / "newsletter-en/sample.json").unlink()
    (templates / "partner/sample.json").write_text('{"title": "a\\nb", "text": "t", "partner": "p"}', "utf-8")
    changed(templates / "proposal/body.html.j2", "{% block letter %}", "{% block letter %}" + "<p>dolgo</p>" * 9000)
    code, findings = found(preklic)
    assert code == 1
    assert findings == {
        ("offer", "the text part lacks a link of the HTML"),
        ("payment", "there is no variant in en"),
        ("newsletter", "sample.json is missing: the template cannot be tried"),
        ("newsletter-en", "sample.json is missing: the template cannot be tried"),
        ("partner", "bad_content: Subject"),
        ("proposal", "the HTML has more than 102000 octets: Gmail would cut it"),
    }
    assert found(preklic, "welcome") == (0, set())


def test_a_way_out_that_is_missing_is_a_finding(preklic, templates):
    for kind in ("html", "txt"):
        changed(templates / f"_layout/letter.{kind}.j2", "{{ unsubscribe_url }}", "{{ policy_url }}")
    code, findings = found(preklic, "newsletter", "payment")
    assert (code, findings) == (1, {("newsletter", "the unsubscribe link does not stand in both parts")})


def test_a_template_that_does_not_load_is_a_finding(preklic, templates):
    changed(templates / "offer/body.html.j2", "{{ text }}", "{{ unheard_of }}")
    assert found(preklic) == (1, {("offer", "undeclared unheard_of")})
    assert preklic("template", "preview", "offer")[0] == 1


def test_a_preview_is_written_with_pictures_where_there_is_a_browser(preklic, tmp_path, monkeypatch):
    out = tmp_path / "look"
    if shutil.which("chromium") is not None:
        monkeypatch.setattr("preklic_workers.commands_template.WIDTHS", (390,))
        assert preklic("template", "preview", "newsletter", "--language", "en", "--out", str(out))[0] == 0
        assert (out / "preview-390.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr(page_picture.shutil, "which", lambda _name: None)
    data = tmp_path / "data.json"
    data.write_text('{"title": "Ž", "intro": "i", "articles": []}', "utf-8")
    bare = tmp_path / "bare"
    code, _, err = preklic("template", "preview", "newsletter", "--data", str(data), "--out", str(bare))
    assert code == 0
    assert "apt install chromium" in err
    assert sorted(path.name for path in bare.iterdir()) == ["preview.eml", "preview.html", "preview.txt"]
    assert (bare / "preview.txt").read_text("utf-8").startswith("Ž\n")
    assert b"\r\nList-Unsubscribe: <" in (bare / "preview.eml").read_bytes()
    assert "Georgia" in (bare / "preview.html").read_text("utf-8")


@pytest.mark.parametrize("content", ["[]", "{", ""])
def test_data_that_are_no_object_are_refused(preklic, tmp_path, content):
    data = tmp_path / "data.json"
    data.write_text(content, "utf-8")
    assert preklic("template", "preview", "newsletter", "--data", str(data), "--out", str(tmp_path))[0] == 2
