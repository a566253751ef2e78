"""RFC 8621 §1.5, RFC 8620 §7.1: what a StateChange says of mail."""

import pytest

from e2e.events import EventStream, subscribed
from jmap import Jmap, message
from sockets import http
from veredus.app import App

SIEVE = "urn:ietf:params:jmap:sieve"

must = pytest.mark.must
rfc = pytest.mark.rfc


async def stream(app: App, url: str, types: str) -> EventStream:
    await app.accounts.set_password("alice@example.com", "secret")
    return EventStream(url, ("alice@example.com", "secret"), types)


@must
@rfc("8621", "1.5")
async def test_email_delivery_changes_when_an_email_is_added_and_at_nothing_else(
    app: App, jmap: Jmap
) -> None:
    async with http(app) as url, subscribed(await stream(app, url, "EmailDelivery,Email")) as told:
        email = (await jmap.import_email(message()))["id"]
        first = await jmap.state("Email")
        await told.until(jmap.account, "Email", first)
        delivery = told.states[jmap.account]["EmailDelivery"]

        await jmap.update("Email", email, **{"keywords/$seen": True})
        await told.until(jmap.account, "Email", await jmap.state("Email"))
        await jmap.set("Email", destroy=[email])
        await told.until(jmap.account, "Email", await jmap.state("Email"))
        assert told.states[jmap.account]["EmailDelivery"] == delivery
        assert all("EmailDelivery" not in change[jmap.account] for change in told.changes[1:])

        await jmap.import_email(message("Another"))
        await told.until(jmap.account, "Email", await jmap.state("Email"))
        assert told.states[jmap.account]["EmailDelivery"] != delivery


@must
@rfc("8621", "1.5")
@rfc("8620", "7.1")
@rfc("9425", "6")
async def test_every_type_of_mail_is_pushed_with_the_state_that_get_would_give(app: App, jmap: Jmap) -> None:
    async with http(app) as url, subscribed(await stream(app, url, "*")) as told:
        await jmap.import_email(message())
        for type in ("Email", "Mailbox", "Thread", "Quota"):
            await told.until(jmap.account, type, await jmap.state(type))
        assert set(told.states) == {jmap.account}


@must
@rfc("8621", "1.5")
@rfc("8620", "7.1")
async def test_what_is_sent_and_filtered_is_pushed_and_nothing_that_is_no_data_type(
    app: App, sender: Jmap
) -> None:
    """What waits to leave an account is kept in it, and is no type that a client could ask for."""
    sender.using.append(SIEVE)
    async with http(app) as url, subscribed(await stream(app, url, "*")) as told:
        identity = (await sender.call("Identity/get", ids=None))["list"][0]
        email = await sender.import_email(message(Date="Mon, 1 Jan 2024 00:00:00 +0000"))
        parameters = {"HOLDFOR": "3600"}
        envelope = {
            "mailFrom": {"email": identity["email"], "parameters": parameters},
            "rcptTo": [{"email": "bob@example.org"}],
        }
        await sender.create(
            "EmailSubmission", identityId=identity["id"], emailId=email["id"], envelope=envelope
        )
        await sender.update("VacationResponse", "singleton", isEnabled=True)
        await sender.create("SieveScript", name="one", blobId=await sender.upload(b"keep;"))
        for type in ("Identity", "EmailSubmission", "VacationResponse", "SieveScript"):
            await told.until(sender.account, type, await sender.state(type))
        known = {name.partition("/")[0] for name in app.registry.methods}
        assert set(told.states[sender.account]) <= known | {"EmailDelivery"}


@must
@rfc("8620", "7.1")
async def test_changes_of_a_shared_account_are_pushed_and_of_a_strange_one_not(
    app: App, jmap: Jmap, second: Jmap
) -> None:
    stranger = await jmap_of_a_stranger(app)
    async with http(app) as url, subscribed(await stream(app, url, "Email")) as told:
        await stranger.import_email(message())
        shared = Jmap(app, jmap.identity.user, second.account)
        await shared.import_email(message())
        await told.until(second.account, "Email", await shared.state("Email"))
        assert set(told.states) == {second.account}


async def jmap_of_a_stranger(app: App) -> Jmap:
    account = await app.add_account("stranger@example.com", None)
    return Jmap(app, "stranger@example.com", account)
