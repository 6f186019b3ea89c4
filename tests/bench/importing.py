"""How fast a list is imported, and in how much memory: `python -m bench.importing --rows N`.

The list is made first; then the command itself, in a process of its own, imports it into an empty database.
"""

import argparse
import asyncio
import csv
import datetime as dt
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from types import SimpleNamespace

from preklic_stack.children import Children
from preklic_stack.mongo import Mongo, own_cache, start_mongo
from preklic_stack.places import quick_folder
from preklic_workers.keydir import load_ring
from preklic_workers.keyfiles import init_keys
from preklic_workers.store import open_store, schema

DATABASE = "bench_import"
COMMAND = "import typer; from preklic_workers.commands_import import import_list; typer.run(import_list)"
PROVIDERS = ("gmail.com", "siol.net", "primer.example", "outlook.com")


def make_list(file: Path, rows: int) -> None:
    """A list of so many people, each with the proof of a yes."""
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(("address", "wording", "source", "language", "at"))
        for number in range(rows):
            address = f"oseba.{number}@{PROVIDERS[number % len(PROVIDERS)]}"
            writer.writerow((address, "newsletter@1", "spletna stran", "sl", "2025-03-01T10:00:00+01:00"))


def prepared(folder: Path, mongo: Mongo) -> dict[str, str]:
    """Keys and an empty database; the environment of the command."""
    init_keys(folder / "keys", dt.datetime.now(dt.UTC))
    mongo.drop(DATABASE, f"{DATABASE}_keys")
    directory = folder / "keys" / "upkeep"

    async def apply() -> None:
        place = SimpleNamespace(mongo_url=mongo.url, mongo_database=DATABASE)
        store = await open_store(place, load_ring(directory, "upkeep"))
        await schema.apply(store.mongo)
        store.close()

    asyncio.run(apply())
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREKLIC_")}
    ours = {"PREKLIC_MONGO_URL": mongo.url, "PREKLIC_MONGO_DATABASE": DATABASE, "PREKLIC_KEY_DIR": str(directory)}
    return kept | ours


def measure(folder: Path, mongo: Mongo, rows: int) -> dict[str, float]:
    """Import a list of so many rows twice, the second time with everything recorded: rows a second, megabytes."""
    file = folder / "list.csv"
    make_list(file, rows)
    environment = prepared(folder, mongo)
    argv = [sys.executable, "-c", COMMAND, str(file), "--purpose", "newsletter", "--json"]
    found: dict[str, float] = {"rows": rows}
    for name in ("first", "again"):
        began = time.monotonic()
        said, memory = run(argv, environment)
        found[f"{name}, rows a second"] = round(rows / (time.monotonic() - began))
        found["most memory, MB"] = max(found.get("most memory, MB", 0), memory)
        assert json.loads(said)["answers"] == {"pending": rows}
    return found


def run(argv: Sequence[str], environment: dict[str, str]) -> tuple[str, float]:
    """What the process printed, and the most memory that it had, in megabytes.

    The kernel's own figure after its end would count what this process had when it made the other one.
    """
    memory = 0
    with TemporaryFile("w+") as said, subprocess.Popen(argv, env=environment, stdout=said) as process:
        while process.poll() is None:
            memory = max(memory, peak(process.pid))
            time.sleep(0.02)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, argv)
        said.seek(0)
        return said.read(), round(memory / 1024, 1)


def peak(pid: int) -> int:
    """The most resident memory that a process has had, in kilobytes; 0 when it has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it on a MongoDB of its own and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.importing", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args(arguments).rows
    with TemporaryDirectory(prefix="preklic-", dir=quick_folder()) as made, Children() as children:
        folder = Path(made)
        for name, figure in measure(folder, start_mongo(children, folder / "mongo", options=own_cache()), rows).items():
            print(f"{name:<24} {figure:>12,}")


if __name__ == "__main__":
    main()
