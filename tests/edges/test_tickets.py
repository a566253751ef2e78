"""One-time tickets: made with credentials, good once, for seconds, whichever process is asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from jmap import STORES, open_server
from sockets import http
from veredus.app import App
from veredus.auth.tickets import CAPABILITY, LIFETIME_S, MOST_PER_USER, Tickets
from veredus.config.settings import Limits
from veredus.ports import Identity

ALICE, PASSWORD = "alice@example.com", "secret"


class LaterClock:
    """The clock of a time still to come."""

    def __init__(self, seconds: float) -> None:
        self._ahead = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead


def tickets(app: App, later_s: float = 0) -> Tickets:
    """As another process would have them, some time later."""
    return Tickets(app.store, app.authenticator, LaterClock(later_s))


async def stored(app: App) -> int:
    async with app.store.read("system") as snapshot:
        return await snapshot.count("Ticket")


@pytest.fixture(params=STORES)
async def app(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[App]:
    async with open_server(request.param, tmp_path) as app:
        await app.add_account(ALICE, PASSWORD)
        yield app


@pytest.fixture
async def alice(app: App) -> Identity:
    """Her identity by a token that may only read."""
    _, token = await app.accounts.create_token(ALICE, "phone", "read", app.clock.now())
    identity = await app.authenticator.authenticate(f"Bearer {token}")
    assert identity is not None
    return identity


async def test_a_ticket_stands_for_the_identity_that_made_it(app: App, alice: Identity) -> None:
    ticket, _ = await app.tickets.mint(alice)
    assert await tickets(app).redeem(ticket) == alice
    assert await stored(app) == 0


async def test_a_ticket_is_good_once_whoever_asks_at_the_same_time(app: App, alice: Identity) -> None:
    ticket, _ = await app.tickets.mint(alice)
    answers = await asyncio.gather(*(tickets(app).redeem(ticket) for _ in range(10)))
    assert [answer for answer in answers if answer is not None] == [alice]


async def test_a_ticket_is_good_as_long_as_was_said_and_no_longer(app: App, alice: Identity) -> None:
    first, expires = await app.tickets.mint(alice)
    second, _ = await app.tickets.mint(alice)
    assert timedelta(seconds=LIFETIME_S - 5) < expires - datetime.now(UTC) <= timedelta(seconds=LIFETIME_S)
    assert await tickets(app, later_s=LIFETIME_S - 2).redeem(first) == alice
    assert await tickets(app, later_s=LIFETIME_S + 2).redeem(second) is None


async def test_a_ticket_ends_with_the_credentials_that_made_it(app: App, alice: Identity) -> None:
    ticket, _ = await app.tickets.mint(alice)
    await app.accounts.revoke_token(alice.credential)
    assert await app.tickets.redeem(ticket) is None


async def test_the_secret_is_not_kept(app: App, alice: Identity) -> None:
    ticket, _ = await app.tickets.mint(alice)
    async with app.store.read("system") as snapshot:
        [record] = await snapshot.get("Ticket", None)
    assert ticket not in str(record)


async def test_expired_tickets_of_anybody_are_removed(app: App, alice: Identity) -> None:
    for _ in range(5):
        await app.tickets.mint(alice)
    await app.add_account("bob@example.com", "b")
    await tickets(app, later_s=LIFETIME_S + 2).mint(Identity("bob@example.com", "x"))
    assert await stored(app) == 1


async def test_one_user_has_a_bounded_number_and_the_newest_are_good(app: App, alice: Identity) -> None:
    made = [(await app.tickets.mint(alice))[0] for _ in range(MOST_PER_USER + 3)]
    assert await stored(app) == MOST_PER_USER
    assert [await app.tickets.redeem(ticket) for ticket in made[:4]] == [None, None, None, alice]


async def test_tickets_leave_no_trace_in_the_change_log(app: App, alice: Identity) -> None:
    before = await app.store.head()
    ticket, _ = await app.tickets.mint(alice)
    await app.tickets.redeem(ticket)
    assert await app.store.feed(before, 10) == ([], before)


# ---------------------------------------------------------------- over HTTP


@asynccontextmanager
async def client(app: App, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with http(app) as url, httpx.AsyncClient(base_url=url, trust_env=False, **options) as client:
        yield client


async def test_the_session_says_where_tickets_are_made_and_what_is_made_works_there(app: App) -> None:
    async with client(app, auth=(ALICE, PASSWORD)) as http:
        session = (await http.get("/.well-known/jmap")).json()
        found = session["capabilities"][CAPABILITY]
        assert found["lifetime"] == LIFETIME_S
        answer = await http.post(found["url"])
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        assert set(answer.json()) == {"ticket", "expires"}
        identity = await app.tickets.redeem(answer.json()["ticket"])
        assert identity is not None
        assert identity.user == ALICE


async def test_a_ticket_is_made_with_credentials_alone(app: App, alice: Identity) -> None:
    async with client(app) as http:
        assert (await http.post("/jmap/ticket")).status_code == 401
        # Not with another ticket: one leak would be good for ever.
        ticket, _ = await app.tickets.mint(alice)
        assert (await http.post("/jmap/ticket", params={"ticket": ticket})).status_code == 401
        assert await app.tickets.redeem(ticket) == alice
        assert (await http.get("/jmap/ticket")).status_code == 405


async def test_a_ticket_is_no_credential_for_other_paths(app: App, alice: Identity) -> None:
    async with client(app) as http:
        for method, path in (("GET", "/jmap/session"), ("POST", "/jmap")):
            ticket, _ = await app.tickets.mint(alice)
            answer = await http.request(method, path, params={"ticket": ticket})
            assert answer.status_code == 401
            assert await app.tickets.redeem(ticket) == alice


STREAM = {"types": "*", "closeafter": "no", "ping": "0"}


async def open_stream(http: httpx.AsyncClient, ticket: str, **variables: str) -> int:
    """The status of the answer; a stream that begins is left at once."""
    async with http.stream(
        "GET", "/jmap/eventsource", params={**STREAM, "ticket": ticket, **variables}
    ) as answer:
        return answer.status_code


async def test_a_ticket_opens_one_stream(app: App, alice: Identity) -> None:
    async with client(app) as http:
        ticket, _ = await app.tickets.mint(alice)
        assert await open_stream(http, ticket) == 200
        assert await open_stream(http, ticket) == 401
        assert await open_stream(http, "unknown") == 401
        expired, _ = await tickets(app, later_s=-LIFETIME_S - 2).mint(alice)
        assert await open_stream(http, expired) == 401


async def test_a_ticket_is_used_up_by_a_request_that_fails(app: App, alice: Identity) -> None:
    async with client(app) as http:
        ticket, _ = await app.tickets.mint(alice)
        assert await open_stream(http, ticket, closeafter="never") == 400
        assert await open_stream(http, ticket) == 401


async def test_a_ticket_does_not_make_up_for_wrong_credentials(app: App, alice: Identity) -> None:
    async with client(app, auth=(ALICE, "wrong")) as http:
        ticket, _ = await app.tickets.mint(alice)
        assert await open_stream(http, ticket) == 401
        assert await app.tickets.redeem(ticket) == alice


async def test_a_ticket_is_good_in_another_process(tmp_path: Path) -> None:
    async with open_server("sqlite", tmp_path) as here, open_server("sqlite", tmp_path) as there:
        await here.add_account(ALICE, PASSWORD)
        async with client(here, auth=(ALICE, PASSWORD)) as http:
            ticket = (await http.post("/jmap/ticket")).json()["ticket"]
        answers = await asyncio.gather(
            *(app.tickets.redeem(ticket) for app in (here, there) for _ in range(5))
        )
        assert [identity.user for identity in answers if identity] == [ALICE]


async def test_requests_for_tickets_count_as_requests(tmp_path: Path) -> None:
    """Each costs a transaction; a user who asks for very many at once is told to wait."""
    async with open_server("sqlite", tmp_path, limits=Limits(max_concurrent_requests=1)) as app:
        await app.add_account(ALICE, PASSWORD)
        async with client(app, auth=(ALICE, PASSWORD)) as http:
            await http.post("/jmap/ticket")
            answers = await asyncio.gather(*(http.post("/jmap/ticket") for _ in range(20)))
            assert {answer.status_code for answer in answers} == {200, 429}
