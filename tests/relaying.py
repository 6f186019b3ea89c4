"""Relays as the settings write them, and a desk in front of some."""

import json
from contextlib import asynccontextmanager

from preklic_shared.settings import load_settings
from sending import PROCESSOR, open_desk

COMPANY = f"""
[[processors]]
name = "{PROCESSOR.name}"
contract = "{PROCESSOR.contract}"
country = "{PROCESSOR.country}"
valid_from = "{PROCESSOR.valid_from}"
valid_to = "{PROCESSOR.valid_to}"
"""


def relay(name, port=25, **more):
    """The settings of a relay on this machine, of the company above."""
    return table("relays", name=name, host="127.0.0.1", port=port, tls="off", processor=PROCESSOR.name, **more)


def limit(provider, **more):
    return table("limits", provider=provider, **more)


def table(kind, **values):
    lines = [f"{name} = {_toml(value)}" for name, value in values.items()]
    return "\n".join(["", f"[[{kind}]]", *lines, ""])


def _toml(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml(one)}" for name, one in value.items()) + "}"
    return json.dumps(value, default=str)


def written(folder, *texts):
    """A settings file with the company and these tables."""
    file = folder / "preklic.toml"
    file.write_text("".join([COMPANY, *texts]))
    return file


def loaded(folder, *texts):
    """The settings that it gives. Raises SettingsError."""
    return load_settings({"PREKLIC_CONFIG": str(written(folder, *texts))})


@asynccontextmanager
async def desk_for(mongo_url, database, routes, *addresses):
    """A desk whose people permit the newsletter."""
    desk = await open_desk(mongo_url, database, routes)
    for address in addresses:
        await desk.grant(address, "newsletter")
    try:
        yield desk
    finally:
        await desk.close()
