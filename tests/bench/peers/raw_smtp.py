"""A pool of aiosmtplib sessions and nothing else: the same bytes over and over, for so many seconds."""

import asyncio
import json
import sys
import time

import aiosmtplib
import uvloop

from bench.peers.letter import BOUNCE, DATA, as_bytes
from bench.peers.place import place

HERE = place()
CONNECTIONS = 32


async def connected() -> aiosmtplib.SMTP:
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=HERE.smtp, start_tls=False, local_hostname="bench.test")
    await client.connect()
    return client


async def carry(client: aiosmtplib.SMTP, until: float, raw: bytes) -> int:
    count = 0
    while time.monotonic() < until:
        await client.sendmail(BOUNCE, ["person0@example.test"], raw)
        count += 1
    return count


async def main(seconds: float) -> None:
    raw = as_bytes(HERE.templates, "0" * 8 + "-0000-4000-8000-" + "0" * 12, "person0@example.test", DATA)
    clients = [await connected() for _ in range(CONNECTIONS)]
    began = time.monotonic()
    counts = await asyncio.gather(*(carry(client, began + seconds, raw) for client in clients))
    print(json.dumps({"jobs": sum(counts), "seconds": time.monotonic() - began}))
    for client in clients:
        await client.quit()


if __name__ == "__main__":
    uvloop.run(main(float(sys.argv[1])))
