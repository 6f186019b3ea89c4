"""`preklic template`: templates tried before a person gets a mail of them."""

import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from preklic_shared.cli import Code, Json, Stop, say, settings, show
from preklic_shared.registry import load_registry
from preklic_workers.compose.composer import SHIPPED, House, NotComposed
from preklic_workers.compose.content import TemplateError
from preklic_workers.compose.mails import Mail
from preklic_workers.compose.reading import read
from preklic_workers.compose.templates import Template, Templates
from preklic_workers.compose.trial import Trial
from preklic_workers.page_picture import NoPicture, take

template = typer.Typer(no_args_is_help=True, add_completion=False, help="Templates of mails: check them, look at them.")
WIDTHS: Final = (390, 800)  # pixels: a phone, and a desk


@template.command("check")
def check(
    names: Annotated[list[str] | None, typer.Argument(help="Templates; without any, all of them.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Load every template, compose it with its sample data, and say what a reader would miss. 1: something is wrong.

    Example: `preklic template check newsletter payment`
    """
    rows: list[dict[str, Any]] = []
    try:
        trial = _trial()
        for one in _named(trial, names):
            rows += [{"template": one.name, "finding": finding} for finding in trial.findings(one)]
    except TemplateError as error:
        name, _, finding = error.field.partition(": ")
        rows.append({"template": name, "finding": finding})
    show(rows, ("template", "finding"), title="Findings", as_json=as_json)
    raise typer.Exit(Code.FINDING if rows else Code.DONE)


@template.command("preview")
def preview(
    name: Annotated[str, typer.Argument(help="The template.")],
    *,
    data: Annotated[Path | None, typer.Option(help="A JSON file; without it the template's own sample.json.")] = None,
    language: Annotated[str | None, typer.Option(help="The variant in this language: en.")] = None,
    out: Annotated[Path, typer.Option(help="The folder that the files are written to.")] = Path("preview"),
) -> None:
    """Write what a mail would look like: preview.html, .txt, .eml, and .png as on a phone and on a desk.

    Example: `preklic template preview newsletter --language en --out /tmp/look`
    """
    try:
        trial = _trial()
        (found,) = _named(trial, [name])
        if language is not None:
            found = trial.templates.variant(name, language)
    except TemplateError as error:
        raise Stop(Code.FINDING, f"the templates do not load: {error.field}", "preklic template check") from None
    given = trial.sample(found) if data is None else _object(data)
    if given is None:
        raise Stop(Code.USAGE, f"{found.name} has no sample.json", "give its data by --data FILE.json")
    mail = trial.mail(found, given)
    if isinstance(mail, NotComposed):
        raise Stop(Code.FINDING, f"no mail can be made of {found.name}: {mail.reason}: {mail.field}")
    _write(mail, out)


def _write(mail: Mail, out: Path) -> None:
    seen = read(mail)
    out.mkdir(parents=True, exist_ok=True)
    page = out / "preview.html"
    page.write_text(seen.page, "utf-8")
    (out / "preview.txt").write_text(f"{seen.subject}\n\n{seen.text}", "utf-8")
    (out / "preview.eml").write_bytes(mail.raw)
    written = ["preview.html", "preview.txt", "preview.eml"]
    try:
        for width in WIDTHS:
            take(page, out / f"preview-{width}.png", width)
            written.append(f"preview-{width}.png")
    except NoPicture as error:
        say(str(error), err=True)
    say(f"written to {out}: {', '.join(written)}")


def _trial() -> Trial:
    config = settings()
    house = House(config.public_url, config.mail_domain, hosts=frozenset(map(str.lower, config.own_hosts)))
    folder = config.template_dir or SHIPPED
    return Trial(folder, Templates(folder), load_registry(config.registry), house)


def _named(trial: Trial, names: list[str] | None) -> list[Template]:
    known = {one.name: one for one in trial.templates}
    if strange := sorted(set(names or ()) - set(known)):
        raise Stop(Code.USAGE, f"there is no template {', '.join(strange)}", f"known: {', '.join(sorted(known))}")
    return [known[name] for name in names or sorted(known)]


def _object(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        value = None
    if not isinstance(value, dict):
        raise Stop(Code.USAGE, f"{file} is no JSON object")
    return value
