"""Charts: files that a browser shows, with labelled axes, in two languages, and a word on what is hidden."""

import pytest

pytest.importorskip("matplotlib")

from preklic_workers import plots

DAYS = [{"day": f"2026-11-{n:02}", "sent": n * 10, "opened": n // 2 * 10} for n in range(1, 20)]
GROUPS = [{"provider": name, "sent": 100, "clicked": 20} for name in "abcdefghijklmnop"]


@pytest.mark.parametrize(
    ("rows", "by", "language", "words"),
    [
        (DAYS, ["day"], "en", ["Mails by day", "sent", "opened", "number (rounded to tens)", "fewer than 10 people"]),
        (
            GROUPS,
            ["provider"],
            "sl",
            ["Sporočila: ponudnik", "poslano", "zaokroženo na desetice", "12 največjih", "skrite"],
        ),
        ([{"sent": 40}], [], "en", ["Mails", "sent"]),
        ([], ["purpose"], "en", ["no group of ten people"]),
    ],
)
def test_a_chart_says_what_it_shows(tmp_path, rows, by, language, words):
    file = tmp_path / "chart.svg"
    plots.draw(rows, by, file, language)
    drawn = file.read_text("utf-8")
    assert drawn.startswith("<?xml")
    assert [word for word in words if word not in drawn] == []


def test_a_png_is_one(tmp_path):
    plots.draw(GROUPS[:4], ["provider"], tmp_path / "chart.png", "en")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_both_languages_have_all_words():
    assert plots.WORDS["en"].keys() == plots.WORDS["sl"].keys()
    assert set(plots.SHOWN) <= plots.WORDS["en"].keys()
