"""The benchmark of encryption at rest runs; no figures asserted."""

from bench.fields import rates, turn


async def test_it_runs(mongo_url, mongo_database, tmp_path):
    assert all(rate > 0 for rate in rates(50).values())
    steps = await turn(mongo_url, mongo_database, tmp_path, 20)
    assert "the whole turn" in steps
