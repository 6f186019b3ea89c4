"""A send worker as the settings make it: limited relays carry mail, and their seats are held and given back."""

from dataclasses import replace

from preklic_shared.registry import load_registry
from preklic_shared.settings import load_settings
from preklic_workers.duties import Means, send_duty
from preklic_workers.outcomes import Done
from preklic_workers.smtp.routes import open_routes, today
from sending import RING, open_desk, send_job
from waiting import auntil

TO = "ana@gmail.com"
TOML = """
[[processors]]
name = "Mail company"
contract = "2026/1"
country = "SI"
valid_from = "2020-01-01"
valid_to = "2099-12-31"

[[relays]]
name = "main"
host = "127.0.0.1"
port = {port}
tls = "off"
processor = "Mail company"
rate = 100
connections_total = 3
warm_up = {{start = "{today}", plan = [10]}}

[[limits]]
provider = "gmail"
rate = 50
"""


async def test_a_worker_keeps_to_what_the_settings_say(mongo_url, mongo_database, sink, tmp_path):
    file = tmp_path / "preklic.toml"
    file.write_text(TOML.format(port=sink.port, today=today()))
    settings = load_settings({"PREKLIC_CONFIG": str(file)})
    desk = await open_desk(mongo_url, mongo_database, open_routes(settings, today()))
    await desk.grant(TO, "newsletter")
    duty = send_duty(Means(settings, load_registry(), desk.store, replace(RING, dkim=())))

    async def held():
        lease = (await desk.store.leases.all()).get("seats:main", {})
        return sum(one["seats"] for one in lease.get("held", ()))

    for part in duty.beside:
        await part.start()
    await auntil(held, 5, "the worker holds its seats")
    assert await held() == 3
    assert await duty.handlers["send_bulk"](desk.opened(send_job(), TO)) == Done()
    leases = await desk.store.leases.all()
    assert {"rate:main", "rate::gmail", f"warm:main:{today()}", "seats:main"} == set(leases)
    assert leases[f"warm:main:{today()}"]["count"] == 1
    for part in duty.beside:
        await part.stop()
    for close in duty.close:
        await close()
    assert await held() == 0
    await desk.close()
