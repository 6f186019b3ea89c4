"""Random octets are given once: a nonce that two ciphertexts share opens both."""

import multiprocessing
from concurrent.futures import ThreadPoolExecutor

from preklic_shared.randomness import random_octets


def draw(count):
    return [random_octets(12) for _ in range(count)]


def test_no_octets_are_given_twice_whatever_threads_and_forks_ask():
    seen = draw(10)
    with ThreadPoolExecutor(8) as pool:
        for drawn in pool.map(draw, [5_000] * 8):
            seen += drawn
    seen += draw(10)  # what the children below would give again, had they kept what their parent drew
    with multiprocessing.get_context("fork").Pool(3) as children:
        for drawn in children.map(draw, [100] * 9, chunksize=3):
            seen += drawn
    assert len(set(seen + draw(100))) == len(seen) + 100


def test_any_number_is_given():
    assert [len(random_octets(count)) for count in (0, 1, 16, 40_000, 70_000)] == [0, 1, 16, 40_000, 70_000]
