"""Quotas (RFC 9425 §4)."""

from pathlib import Path
from typing import Any

import pytest

from jmap import Jmap, message, new_user, open_server
from veredus.config.settings import Quota
from veredus.quota.type import set_limits

pytestmark = pytest.mark.rfc("9425", "4")

MAIL = "urn:ietf:params:jmap:mail"


async def quotas(jmap: Jmap) -> dict[str, Any]:
    return {quota["resourceType"]: quota for quota in (await jmap.call("Quota/get", ids=None))["list"]}


@pytest.mark.rfc("9425", "4.1")
@pytest.mark.must
async def test_a_quota_has_every_property(jmap: Jmap) -> None:
    found = await quotas(jmap)
    assert set(found) == {"count", "octets"}
    for quota in found.values():
        assert set(quota) == {
            "id",
            "resourceType",
            "used",
            "hardLimit",
            "warnLimit",
            "softLimit",
            "scope",
            "name",
            "description",
            "types",
        }
        assert quota["used"] == 0
        assert quota["scope"] == "account"
        assert quota["types"] == ["Email"]
        assert quota["name"]


@pytest.mark.must
async def test_what_the_client_does_not_know_it_does_not_see(jmap: Jmap) -> None:
    state = (await jmap.call("Quota/get", ids=None))["state"]
    jmap.using.remove(MAIL)
    assert (await jmap.call("Quota/get", ids=None))["list"] == []
    response = await jmap.call("Quota/get", ids=["octets", "nope"])
    assert (response["list"], response["notFound"]) == ([], ["octets", "nope"])
    assert (await jmap.call("Quota/query", calculateTotal=True))["total"] == 0
    assert (await jmap.call("Quota/queryChanges", sinceQueryState="0"))["added"] == []
    response = await jmap.call("Quota/changes", sinceState="0")
    assert (response["created"], response["updated"]) == ([], [])
    assert response["newState"] == state


async def test_what_is_used_is_what_there_is(jmap: Jmap) -> None:
    sizes = []
    for n in range(3):
        email = await jmap.import_email(message(f"Mail {n}", "x" * n * 100))
        sizes.append(email["size"])
    found = await quotas(jmap)
    assert (found["count"]["used"], found["octets"]["used"]) == (3, sum(sizes))
    await jmap.call("Email/set", destroy=[email["id"]])
    found = await quotas(jmap)
    assert (found["count"]["used"], found["octets"]["used"]) == (2, sum(sizes[:2]))


@pytest.mark.rfc("9425", "4.3")
@pytest.mark.must
async def test_changes_of_use_alone_say_so(jmap: Jmap) -> None:
    """The example of §5.2: only ``used`` is fetched again."""
    state = (await jmap.call("Quota/get", ids=None))["state"]
    response = await jmap.call("Quota/changes", sinceState=state)
    assert response["updatedProperties"] is None
    await jmap.import_email(message())
    ids = {"resultOf": "0", "name": "Quota/changes", "path": "/updated"}
    properties = {"resultOf": "0", "name": "Quota/changes", "path": "/updatedProperties"}
    changes, got = await jmap.responses(
        ("Quota/changes", {"sinceState": state, "maxChanges": 20}),
        ("Quota/get", {"#ids": ids, "#properties": properties}),
    )
    assert changes[1]["updatedProperties"] == ["used"]
    assert set(changes[1]["updated"]) == {"octets", "count"}
    assert all(set(quota) == {"id", "used"} for quota in got[1]["list"])


async def test_other_changes_name_no_properties(jmap: Jmap) -> None:
    state = (await jmap.call("Quota/get", ids=None))["state"]
    async with jmap.app.store.write(jmap.account) as tx:
        await set_limits(tx, 1000, 10)
    await jmap.import_email(message("short", "x"))
    response = await jmap.call("Quota/changes", sinceState=state)
    assert set(response["updated"]) == {"octets", "count"}
    assert response["updatedProperties"] is None


@pytest.mark.rfc("9425", "4.4")
@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ({"name": "NUMBER"}, ["count"]),
        ({"name": "messages"}, ["count", "octets"]),
        ({"name": "%"}, []),
        ({"scope": "account"}, ["count", "octets"]),
        ({"scope": "global"}, []),
        ({"scope": "nonsense"}, []),
        ({"resourceType": "octets"}, ["octets"]),
        ({"resourceType": "OCTETS"}, []),
        ({"type": "Email"}, ["count", "octets"]),
        ({"type": "Calendar"}, []),
        ({"operator": "NOT", "conditions": [{"resourceType": "count"}]}, ["octets"]),
        ({}, ["count", "octets"]),
    ],
)
async def test_filters(jmap: Jmap, filter: Any, found: list[str]) -> None:
    assert (await jmap.call("Quota/query", filter=filter))["ids"] == found


@pytest.mark.rfc("9425", "4.4")
async def test_filters_and_sorts_that_cannot_be(jmap: Jmap) -> None:
    for name in ("name", "scope", "resourceType", "type"):
        assert (await jmap.error("Quota/query", filter={name: 1}))["type"] == "invalidArguments"
    assert (await jmap.error("Quota/query", filter={"used": 1}))["type"] == "unsupportedFilter"
    assert (await jmap.error("Quota/query", sort=[{"property": "hardLimit"}]))["type"] == "unsupportedSort"


@pytest.mark.rfc("9425", "4.4")
@pytest.mark.must
async def test_sorts(jmap: Jmap) -> None:
    await jmap.import_email(message())
    for property, ids in (("name", ["count", "octets"]), ("used", ["count", "octets"])):
        assert (await jmap.call("Quota/query", sort=[{"property": property}]))["ids"] == ids
        descending = [{"property": property, "isAscending": False}]
        assert (await jmap.call("Quota/query", sort=descending))["ids"] == ids[::-1]


@pytest.mark.rfc("9425", "4.5")
async def test_query_changes(jmap: Jmap) -> None:
    state = (await jmap.call("Quota/query"))["queryState"]
    await jmap.import_email(message())
    sort = [{"property": "used"}]
    response = await jmap.call("Quota/queryChanges", sinceQueryState=state, sort=sort)
    assert [item["id"] for item in response["added"]] == ["count", "octets"]


async def test_quotas_are_the_servers_alone(jmap: Jmap) -> None:
    for method in ("Quota/set", "Quota/copy"):
        assert (await jmap.error(method))["type"] == "unknownMethod"


@pytest.mark.must
async def test_a_full_account_takes_no_more(store: str, tmp_path: Path) -> None:
    async with open_server(store, tmp_path, quota=Quota(default_messages=2, default_octets=10_000)) as app:
        jmap = await new_user(app)
        inbox = await jmap.mailbox("inbox")
        found = await quotas(jmap)
        for quota in found.values():
            assert (
                quota["warnLimit"]
                < quota["hardLimit"]
                == {"count": 2, "octets": 10_000}[quota["resourceType"]]
            )
        draft = {"mailboxIds": {inbox: True}, "subject": "x"}
        large = await jmap.upload(message(body="x" * 20_000))
        small = await jmap.upload(message())
        wanted = {"large": {"blobId": large, "mailboxIds": {inbox: True}}}
        response = await jmap.call("Email/import", emails=wanted)
        assert response["notCreated"]["large"]["type"] == "overQuota"
        response = await jmap.call("Email/set", create=dict.fromkeys("abc", draft))
        assert len(response["created"]) == 2
        assert [error["type"] for error in response["notCreated"].values()] == ["overQuota"]
        found = await quotas(jmap)
        assert found["count"]["used"] == 2
        wanted = {"small": {"blobId": small, "mailboxIds": {inbox: True}}}
        response = await jmap.call("Email/import", emails=wanted)
        assert response["notCreated"]["small"]["type"] == "overQuota"
        await jmap.call("Email/set", destroy=[made["id"] for made in (await emails(jmap))[:1]])
        assert (await jmap.call("Email/import", emails=wanted))["created"]
        assert (await quotas(jmap))["count"]["used"] == 2


async def emails(jmap: Jmap) -> Any:
    return (await jmap.call("Email/get", ids=None, properties=["id"]))["list"]


@pytest.mark.must
async def test_a_copy_counts_where_it_goes(jmap: Jmap, second: Jmap) -> None:
    email = await jmap.import_email(message())
    async with jmap.app.store.write(second.account) as tx:
        await set_limits(tx, 100_000, 1)
    copy = {"id": email["id"], "mailboxIds": {await second.mailbox("inbox"): True}}
    response = await second.call("Email/copy", fromAccountId=jmap.account, create={"a": copy})
    assert response["created"]
    assert (await quotas(second))["octets"]["used"] == email["size"]
    other = await jmap.import_email(message("Other"))
    copy["id"] = other["id"]
    response = await second.call("Email/copy", fromAccountId=jmap.account, create={"b": copy})
    assert response["notCreated"]["b"]["type"] == "overQuota"
