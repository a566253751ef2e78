"""Passwords: what is accepted, that a flood is bounded, and what is remembered for how long."""

import asyncio
import threading
import time

import pytest
from argon2 import PasswordHasher, Type

from veredus.auth import password as module
from veredus.auth.password import CredentialCache, PasswordVerifier, hash_password, needs_rehash
from veredus.ports import Identity, Unavailable

ALICE = Identity("alice", "password")
BOB = Identity("bob", "password")
# Of "secret", with cheap parameters.
SECRET = "$argon2id$v=19$m=8,t=1,p=1$uYHnTsF3Du/63ZJFQcwiYA$bXtZHoLt4ENC9CHmeIrLxKNIAA+xHvohCXRcazUfH5U"


@pytest.fixture
async def verifier():
    verifier = PasswordVerifier(at_once=2, waiting=3)
    yield verifier
    await verifier.close()


# ------------------------------------------------------------------ hashes


async def test_a_password_matches_its_own_hash_only(verifier: PasswordVerifier) -> None:
    hash = hash_password("correct horse")
    assert hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await verifier.verify(hash, "correct horse")
    assert not await verifier.verify(hash, "correct horsf")
    assert not await verifier.verify(hash, "")
    assert hash_password("correct horse") != hash


@pytest.mark.parametrize("password", ["", "päßwörd", "密码", "a\0b", "x" * 5000, "\udc80"])
async def test_every_string_can_be_a_password(verifier: PasswordVerifier, password: str) -> None:
    hash = hash_password(password)
    assert await verifier.verify(hash, password)
    assert not await verifier.verify(hash, password + "x")


async def test_it_does_not_matter_how_a_letter_was_composed(verifier: PasswordVerifier) -> None:
    assert await verifier.verify(hash_password("\u00fcber"), "u\u0308ber")


async def test_hashes_of_other_parameters_are_verified_and_due_for_renewal(
    verifier: PasswordVerifier,
) -> None:
    for kind in (Type.ID, Type.I):
        old = PasswordHasher(time_cost=1, memory_cost=64, parallelism=2, type=kind).hash("secret")
        assert await verifier.verify(old, "secret")
        assert needs_rehash(old)
    assert not needs_rehash(hash_password("secret"))


@pytest.mark.parametrize(
    "hash", ["", "!", "secret", "$argon2id$", "$argon2id$é", "$6$salt$hash", SECRET[:-9]]
)
async def test_what_is_no_hash_matches_nothing(verifier: PasswordVerifier, hash: str) -> None:
    assert not await verifier.verify(hash, "secret")
    assert not await verifier.verify(hash, hash)
    assert needs_rehash(hash)


async def test_an_unknown_user_takes_the_work_of_a_wrong_password(verifier: PasswordVerifier) -> None:
    async def work(hash: str | None) -> float:
        """In seconds of the processor, which another busy process does not lengthen much."""
        start = time.process_time()
        assert not await verifier.verify(hash, "wrong")
        return time.process_time() - start

    real = hash_password("right")
    known, unknown, unset = [min([await work(hash) for _ in range(4)]) for hash in (real, None, "")]
    # Without the dummy hash it would be a thousandth.
    assert known / 3 < unknown < known * 3
    assert known / 3 < unset < known * 3


# ------------------------------------------------------------------ a flood of logins


class Gate:
    """Stands for argon2, and counts how many threads are in it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.inside = self.most = self.calls = 0
        self._lock = threading.Lock()
        monkeypatch.setattr(module, "_matches", self)

    def __call__(self, hash: str, password: bytes) -> bool:
        with self._lock:
            self.calls += 1
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.open.wait(10)
        with self._lock:
            self.inside -= 1
        return True


async def test_a_flood_is_bounded(verifier: PasswordVerifier, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    tasks = [asyncio.create_task(verifier.verify(SECRET, "secret")) for _ in range(12)]
    await asyncio.sleep(0.05)
    assert sum(task.done() for task in tasks) == 12 - 2 - 3  # at once: what is beyond does not wait
    gate.open.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [result for result in results if result is True] == [True] * 5
    assert all(isinstance(result, Unavailable) for result in results[5:])
    assert gate.most == 2
    assert await verifier.verify(SECRET, "secret")


async def test_who_gives_up_makes_room(verifier: PasswordVerifier, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    tasks = [asyncio.create_task(verifier.verify(SECRET, "secret")) for _ in range(5)]
    await asyncio.sleep(0.05)
    for task in tasks[2:]:
        task.cancel()
    await asyncio.gather(*tasks[2:], return_exceptions=True)
    more = [asyncio.create_task(verifier.verify(SECRET, "secret")) for _ in range(3)]
    await asyncio.sleep(0.05)
    gate.open.set()
    assert await asyncio.gather(*tasks[:2], *more) == [True] * 5
    assert gate.calls == 5


async def test_the_event_loop_is_not_held_up(verifier: PasswordVerifier) -> None:
    hash, ticks = hash_password("secret"), 0
    task = asyncio.create_task(verifier.verify(hash, "secret"))
    while not task.done():
        await asyncio.sleep(0.001)
        ticks += 1
    assert ticks > 3


async def test_no_memory_is_unavailable(verifier: PasswordVerifier) -> None:
    huge = SECRET.replace("m=8,", "m=4294967295,")
    with pytest.raises(Unavailable):
        await verifier.verify(huge, "secret")


# ------------------------------------------------------------------ what is remembered


class Hand:
    time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def cache(clock: Hand) -> CredentialCache:
    return CredentialCache(ttl_s=60, size=3, now=clock)


def test_what_was_verified_is_remembered_until_the_time_is_over(cache: CredentialCache, clock: Hand) -> None:
    assert cache.recall("Basic a") is None
    cache.remember("Basic a", ALICE, epoch=cache.epoch)
    clock.time += 59
    assert cache.recall("Basic a") == ALICE  # and using it does not make it last
    assert cache.recall("Basic A") is None
    clock.time += 1
    assert cache.recall("Basic a") is None


def test_verifying_again_makes_it_last(cache: CredentialCache, clock: Hand) -> None:
    cache.remember("Basic a", ALICE, epoch=cache.epoch)
    clock.time += 59
    cache.remember("Basic a", ALICE, epoch=cache.epoch)
    clock.time += 59
    assert cache.recall("Basic a") == ALICE


def test_the_least_recently_used_is_forgotten_first(cache: CredentialCache) -> None:
    for header in "abc":
        cache.remember(header, ALICE, epoch=cache.epoch)
    assert cache.recall("a") == ALICE
    cache.remember("d", BOB, epoch=cache.epoch)
    assert [cache.recall(header) for header in "abcd"] == [ALICE, None, ALICE, BOB]


def test_a_user_is_forgotten_with_all_credentials(cache: CredentialCache) -> None:
    for header, identity in (("a", ALICE), ("b", BOB), ("c", ALICE)):
        cache.remember(header, identity, epoch=cache.epoch)
    cache.forget_user("alice")
    assert [cache.recall(header) for header in "abc"] == [None, BOB, None]


def test_a_password_changed_during_its_check_is_not_remembered(cache: CredentialCache) -> None:
    epoch = cache.epoch
    cache.forget_user("alice")
    cache.remember("a", ALICE, epoch=epoch)
    assert cache.recall("a") is None


def test_the_credential_is_nowhere_in_the_cache(cache: CredentialCache) -> None:
    cache.remember("Basic c2VjcmV0", ALICE, epoch=cache.epoch)
    assert "c2VjcmV0" not in repr(vars(cache))
    assert b"c2VjcmV0" not in b"".join(cache._entries)
    other = CredentialCache(ttl_s=60)
    other.remember("Basic c2VjcmV0", ALICE, epoch=other.epoch)
    assert other._entries.keys() != cache._entries.keys()
