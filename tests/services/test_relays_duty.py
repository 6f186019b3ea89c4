"""A send worker as the settings make it: limited relays carry mail, and their seats are held and given back."""

from dataclasses import replace

from preklic_shared.registry import load_registry
from preklic_workers.duties import Means, send_duty
from preklic_workers.outcomes import Done
from preklic_workers.smtp.routes import open_routes, today
from relaying import limit, loaded, relay
from sending import RING, open_desk, send_job
from waiting import auntil

TO = "ana@gmail.com"


async def test_a_worker_keeps_to_what_the_settings_say(mongo_url, mongo_database, sink, tmp_path):
    main = relay("main", sink.port, rate=100, connections_total=3, warm_up={"start": today(), "plan": [10]})
    settings = loaded(tmp_path, main, limit("gmail", rate=50, connections=2))
    desk = await open_desk(mongo_url, mongo_database, open_routes(settings, today()))
    await desk.grant(TO, "newsletter")
    duty = send_duty(Means(settings, load_registry(), desk.store, replace(RING, dkim=())))

    async def held():
        leases = await desk.store.leases.all()
        return {
            key: sum(one["seats"] for one in lease["held"]) for key, lease in leases.items() if key.startswith("seats:")
        }

    async def all_held():
        return await held() == {"seats:main": 3, "seats::gmail": 2}

    for part in duty.beside:
        await part.start()
    await auntil(all_held, 20, "the worker holds its seats, and its places for gmail")
    assert await duty.handlers["send_bulk"](desk.opened(send_job(), TO)) == Done()
    leases = await desk.store.leases.all()
    assert {"rate:main", "rate::gmail", f"warm:main:{today()}", "seats:main", "seats::gmail"} == set(leases)
    assert leases[f"warm:main:{today()}"]["count"] == 1
    for part in duty.beside:
        await part.stop()
    for close in duty.close:
        await close()
    assert await held() == {"seats:main": 0, "seats::gmail": 0}
    await desk.close()
