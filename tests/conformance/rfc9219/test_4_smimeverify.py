"""S/MIME signatures (RFC 9219)."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import smime_peer as peer
from jmap import Jmap, message, new_user, open_server
from smime_peer import CONTENT, Cms, authority, clear, opaque, signer
from veredus.app import App
from veredus.config.settings import Mail
from veredus.formats.smime_trust import Trust
from veredus.mail.email.smime import Judge, Signatures, review
from veredus.wire.dates import utc_date

pytestmark = pytest.mark.rfc("9219", "4")

SMIME = "urn:ietf:params:jmap:smimeverify"
PROPERTIES = ["smimeStatus", "smimeStatusAtDelivery", "smimeErrors", "smimeVerifiedAt"]
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


@pytest.fixture
async def app(store: str, tmp_path: Path) -> AsyncIterator[App]:
    """A server that believes one authority."""
    authorities = tmp_path / "authorities.pem"
    authorities.write_bytes(peer.pem(authority()))
    async with open_server(store, tmp_path, mail=Mail(smime_ca_file=authorities)) as app:
        yield app


@pytest.fixture
async def jmap(app: App) -> Jmap:
    user = await new_user(app)
    user.using.append(SMIME)
    return user


def signed(*, until: datetime = NOW + 365 * DAY, content: bytes = CONTENT, **options: Any) -> bytes:
    """A message that was signed; ``content`` is what it says now."""
    by = signer("ec", since=NOW - 300 * DAY, until=until, **options)
    return clear(Cms(by=by).encoded(), content)


async def kept(jmap: Jmap, data: bytes, received: datetime = NOW - DAY) -> str:
    id: str = (await jmap.import_email(data, receivedAt=utc_date(received)))["id"]
    return id


async def shown(jmap: Jmap, id: str) -> list[Any]:
    """Status, status at delivery, errors, and whether it was verified within the last minute."""
    found = await jmap.get("Email", id, properties=PROPERTIES)
    at = found["smimeVerifiedAt"]
    if at is not None:
        at = abs(datetime.fromisoformat(at) - datetime.now(UTC)) < timedelta(minutes=1)
    return [found["smimeStatus"], found["smimeStatusAtDelivery"], found["smimeErrors"], at]


@pytest.mark.rfc("9219", "3")
@pytest.mark.must
async def test_the_capability_is_an_empty_object_twice(app: App, jmap: Jmap) -> None:
    session = json.loads((await app.engine.session(jmap.identity, "http://test"))[0])
    assert session["capabilities"][SMIME] == {}
    assert session["accounts"][jmap.account]["accountCapabilities"][SMIME] == {}


@pytest.mark.rfc("9219", "4.1")
@pytest.mark.must
async def test_each_kind_of_message_has_its_status(jmap: Jmap) -> None:
    good = ["signed/verified", "signed/verified", None, True]
    assert await shown(jmap, await kept(jmap, signed())) == good
    by = signer("rsa", since=NOW - DAY, until=NOW + DAY)
    whole = opaque(Cms(by=by, is_detached=False, scheme="pss").encoded())
    assert await shown(jmap, await kept(jmap, whole)) == good
    for data in (message(), opaque(peer.enveloped(), "enveloped-data")):
        assert await shown(jmap, await kept(jmap, data)) == [None] * 4
    openpgp = signed().replace(b"application/pkcs7-signature", b"application/pgp-signature")
    assert await shown(jmap, await kept(jmap, openpgp)) == ["unknown", "unknown", None, None]


@pytest.mark.rfc("9219", "4.1")
@pytest.mark.must
async def test_a_failed_signature_says_why(jmap: Jmap) -> None:
    failed = ["signed/failed", "signed/failed"]
    for data, words in (
        (signed(content=CONTENT.upper()), "changed"),
        (signed(address="eve@example.com"), "address"),
        (signed(above=authority("Another")), "authority"),
    ):
        *statuses, errors, verified = await shown(jmap, await kept(jmap, data))
        assert (statuses, verified) == (failed, True)
        assert len(errors) == 1
        assert words in errors[0]


@pytest.mark.rfc("9219", "4.1")
@pytest.mark.must
async def test_what_was_good_at_delivery_stays_so_when_the_certificate_has_expired(jmap: Jmap) -> None:
    data = signed(until=NOW - 30 * DAY)
    old, new = await kept(jmap, data, NOW - 60 * DAY), await kept(jmap, data + b"\r\n", NOW - 20 * DAY)
    status, at_delivery, errors, verified = await shown(jmap, old)
    assert (status, at_delivery, verified) == ("signed/failed", "signed/verified", True)
    assert "expired" in errors[0]
    assert (await shown(jmap, new))[:2] == ["signed/failed", "signed/failed"]


@pytest.mark.rfc("9219", "4.1")
@pytest.mark.must
async def test_the_properties_are_given_when_asked_for_and_only_with_the_capability(jmap: Jmap) -> None:
    id = await kept(jmap, signed())
    assert not set(PROPERTIES) & set(await jmap.get("Email", id))
    assert await jmap.get("Email", id, properties=["smimeStatus"]) == {
        "id": id,
        "smimeStatus": "signed/verified",
    }
    jmap.using.remove(SMIME)
    for name in PROPERTIES:
        error = await jmap.error("Email/get", ids=[id], properties=[name])
        assert error["type"] == "invalidArguments"


@pytest.mark.rfc("9219", "4.1")
@pytest.mark.must
async def test_the_status_is_the_servers(jmap: Jmap) -> None:
    id = await kept(jmap, message())
    error = await jmap.refused("Email", "update", (id, {"smimeStatus": "signed/verified"}))
    assert (error["type"], error["properties"]) == ("invalidProperties", ["smimeStatus"])
    for name in ("smime", "smimeVerdict"):
        assert (await jmap.error("Email/get", ids=[id], properties=[name]))["type"] == "invalidArguments"


@pytest.mark.rfc("9219", "4.2")
@pytest.mark.must
async def test_queries_find_what_has_a_status(jmap: Jmap) -> None:
    good, plain = await kept(jmap, signed()), await kept(jmap, message())
    bad = await kept(jmap, signed(content=CONTENT.upper()))

    async def found(**filter: Any) -> set[str]:
        return set(await jmap.query("Email", filter=filter))

    assert await found(hasSmime=True) == {good, bad}
    assert await found(hasSmime=False) == {plain}
    for name in ("hasVerifiedSmime", "hasVerifiedSmimeAtDelivery"):
        assert await found(**{name: True}) == {good}
        assert await found(**{name: False}) == {bad, plain}
    assert await found(operator="NOT", conditions=[{"hasVerifiedSmime": True}]) == {bad, plain}
    error = await jmap.error("Email/query", filter={"hasSmime": "yes"})
    assert error["type"] == "invalidArguments"
    jmap.using.remove(SMIME)
    for filter in ({"hasSmime": True}, {"operator": "OR", "conditions": [{"hasVerifiedSmime": False}]}):
        assert (await jmap.error("Email/query", filter=filter))["type"] == "unsupportedFilter"
        error = await jmap.error("SearchSnippet/get", filter=filter, emailIds=[good])
        assert error["type"] == "unsupportedFilter"
    assert len(await jmap.query("Email", filter={"hasAttachment": False})) == 3


@pytest.mark.rfc("9219", "4.3")
@pytest.mark.must
async def test_a_change_of_status_is_a_change_of_the_email(app: App, jmap: Jmap) -> None:
    ends = NOW + 10 * DAY
    id, plain = await kept(jmap, signed(until=ends)), await kept(jmap, message())
    query = {"filter": {"hasVerifiedSmime": True}}
    state = await jmap.state("Email")
    query_state = (await jmap.call("Email/query", **query))["queryState"]
    judge = Judge(Signatures(Trust([authority().certificate])), app.blobs.get)

    async def reviewed(now: datetime) -> int:
        return await review(app.store, jmap.account, judge, now)

    assert await reviewed(NOW) == 0
    assert await jmap.state("Email") == state
    assert await reviewed(ends + DAY) == 1
    changes = await jmap.call("Email/changes", sinceState=state)
    assert (changes["updated"], changes["created"], changes["destroyed"]) == ([id], [], [])
    assert plain not in changes["updated"]
    response = await jmap.call("Email/queryChanges", sinceQueryState=query_state, **query)
    assert (response["removed"], response["added"]) == ([id], [])
    assert await jmap.query("Email", filter={"hasVerifiedSmimeAtDelivery": True}) == [id]
    assert await reviewed(ends + DAY) == 0


@pytest.mark.rfc("9219", "4.1")
@pytest.mark.must
async def test_another_authority_changes_what_is_verified_and_none_what_was(app: App, jmap: Jmap) -> None:
    ours, theirs = await kept(jmap, signed()), await kept(jmap, signed(above=authority("Another")))
    judge = Judge(Signatures(Trust([authority("Another").certificate])), app.blobs.get)
    assert await review(app.store, jmap.account, judge, NOW) == 2
    assert await jmap.query("Email", filter={"hasVerifiedSmime": True}) == [theirs]
    found = await jmap.query("Email", filter={"hasVerifiedSmimeAtDelivery": True})
    assert set(found) == {ours, theirs}


async def test_an_email_from_before_there_were_verdicts_has_a_status(app: App, jmap: Jmap) -> None:
    id = await kept(jmap, signed())
    async with app.store.write(jmap.account) as tx:
        await tx.update("Email", id, {"smime": [], "smimeVerdict": None})
    assert (await shown(jmap, id))[:2] == ["signed/verified", "signed/verified"]
    judge = Judge(app.admission.signatures, app.blobs.get)
    assert await review(app.store, jmap.account, judge, NOW) == 0
    assert await review(app.store, jmap.account, judge, NOW, every=True) == 1
    assert await jmap.query("Email", filter={"hasVerifiedSmime": True}) == [id]


async def test_without_authorities_a_signature_is_not_called_verified(store: str, tmp_path: Path) -> None:
    async with open_server(store, tmp_path) as app:
        jmap = await new_user(app)
        jmap.using.append(SMIME)
        assert await shown(jmap, await kept(jmap, signed())) == ["signed", "signed", None, None]
        status = (await shown(jmap, await kept(jmap, signed(content=CONTENT.upper()))))[0]
        assert status == "signed/failed"
        assert len(await jmap.query("Email", filter={"hasSmime": True})) == 2


async def test_a_copy_keeps_its_status(jmap: Jmap, second: Jmap) -> None:
    id = await kept(jmap, signed())
    second.using.append(SMIME)
    new = {"id": id, "mailboxIds": {await second.mailbox("inbox"): True}}
    response = await second.call("Email/copy", fromAccountId=jmap.account, create={"c": new})
    copy = response["created"]["c"]["id"]
    assert (await shown(second, copy))[:2] == ["signed/verified", "signed/verified"]
    assert await second.query("Email", filter={"hasVerifiedSmime": True}) == [copy]
