"""A mutation loop for where there is no coverage-guided fuzzer; it does not know what it has reached."""

import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

# One input that takes longer is a finding.
HANG_S = 20
_MOST = 64 * 1024


def run(target: Callable[[bytes], None], seeds: Sequence[bytes], seconds: float, seed: int) -> int:
    """Try the seeds, then mutations of them; the number of inputs tried. What the target raises passes."""
    chance = random.Random(seed)
    pool = list(seeds) or [b""]
    end = time.monotonic() + seconds
    for tried, data in enumerate(_inputs(pool, chance), 1):
        with _alarm():
            target(data)
        if time.monotonic() >= end:
            return tried
    raise AssertionError("there is always another input")


def _inputs(pool: list[bytes], chance: random.Random) -> Iterator[bytes]:
    yield from chance.sample(pool, len(pool))
    while True:
        data = chance.choice(pool)
        for _ in range(chance.choice([1, 1, 2, 4, 16])):
            data = _mutated(data, pool, chance)[:_MOST]
        yield data
        if chance.random() < 0.1:
            # Forgets an older one sometimes, so that mutations of mutations come up.
            pool[chance.randrange(len(pool))] = data


def _mutated(data: bytes, pool: Sequence[bytes], chance: random.Random) -> bytes:
    start = chance.randint(0, len(data))
    end = min(len(data), start + int(chance.expovariate(0.1)))
    piece, other = data[start:end], chance.choice(pool)
    begin = chance.randint(0, len(other))
    new = chance.choice(
        [
            b"",
            chance.randbytes(chance.randint(1, 4)),
            piece * chance.randint(2, 5),
            other[begin : begin + chance.randint(1, 60)],
            bytes(octet ^ 1 << chance.randrange(8) for octet in piece[:4]) + piece[4:],
            piece.swapcase(),
        ]
    )
    return data[:start] + new + data[end:]


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(number: int, frame: object) -> NoReturn:
        raise TimeoutError(f"one input took more than {HANG_S} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, HANG_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
