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


async def carry(until: float, raw: bytes) -> int:
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=HERE.smtp, start_tls=False, local_hostname="bench.test")
    await client.connect()
    count = 0
    while time.monotonic() < until:
        await client.sendmail(BOUNCE, ["person0@example.test"], raw)
        count += 1
    await client.quit()
    return count


async def main(seconds: float) -> None:
    raw = as_bytes(HERE.templates, "0" * 8 + "-0000-4000-8000-" + "0" * 12, "person0@example.test", DATA)
    began = time.monotonic()
    counts = await asyncio.gather(*(carry(began + seconds, raw) for _ in range(CONNECTIONS)))
    print(json.dumps({"jobs": sum(counts), "seconds": time.monotonic() - began}))


if __name__ == "__main__":
    uvloop.run(main(float(sys.argv[1])))
