"""RFC 8621 §2.5 (and what §2 demands of a Mailbox): Mailbox/set."""

from pathlib import Path
from typing import Any

import pytest

from jmap import Jmap, message, new_user, open_server
from veredus.config.settings import Limits

rfc, must, should = pytest.mark.rfc, pytest.mark.must, pytest.mark.should
pytestmark = rfc("8621", "2.5")


@must
async def test_a_created_mailbox_is_told_with_all_the_server_chose(jmap: Jmap) -> None:
    made = await jmap.create("Mailbox", name="Work")
    assert made == {
        "id": made["id"], "parentId": None, "role": None, "sortOrder": 0, "isSubscribed": True,
        "totalEmails": 0, "unreadEmails": 0, "totalThreads": 0, "unreadThreads": 0,
        "myRights": made["myRights"],
    }  # fmt: skip
    assert made["myRights"]["mayDelete"] is True
    assert (await jmap.get("Mailbox", made["id"])) == {**made, "name": "Work"}


@must
@pytest.mark.parametrize(
    ("properties", "bad"),
    [
        ({}, {"name"}),
        ({"name": ""}, {"name"}),
        ({"name": None}, {"name"}),
        ({"name": "a\nb"}, {"name"}),
        ({"name": "x" * 491}, {"name"}),
        ({"name": "ü" * 250}, {"name"}),
        ({"name": "n", "parentId": "nowhere"}, {"parentId"}),
        ({"name": "n", "parentId": 1}, {"parentId"}),
        ({"name": "n", "parentId": "#nothing"}, {"parentId"}),
        ({"name": "n", "role": "Inbox"}, {"role"}),
        ({"name": "n", "role": "janitor"}, {"role"}),
        ({"name": "n", "sortOrder": -1}, {"sortOrder"}),
        ({"name": "n", "sortOrder": 2**31}, {"sortOrder"}),
        ({"name": "n", "sortOrder": 1.5}, {"sortOrder"}),
        ({"name": "n", "isSubscribed": "yes"}, {"isSubscribed"}),
        ({"name": "n", "totalEmails": 1, "colour": "red"}, {"totalEmails", "colour"}),
        ({"name": "n", "id": "m1"}, {"id"}),
    ],
)
async def test_what_is_invalid_is_named(jmap: Jmap, properties: dict[str, Any], bad: set[str]) -> None:
    error = await jmap.refused("Mailbox", "create", properties)
    assert (error["type"], set(error["properties"])) == ("invalidProperties", bad)


@must
async def test_names_are_net_unicode(jmap: Jmap) -> None:
    made = await jmap.create("Mailbox", name="Cafe\u0301")
    assert made["name"] == "Caf\u00e9"
    assert (await jmap.refused("Mailbox", "create", {"name": "Caf\u00e9"}))["type"] == "alreadyExists"


@must
async def test_siblings_have_different_names(jmap: Jmap) -> None:
    work = await jmap.create("Mailbox", name="Work")
    error = await jmap.refused("Mailbox", "create", {"name": "Work"})
    assert error == {"type": "alreadyExists", "existingId": work["id"]}
    below = await jmap.create("Mailbox", name="Work", parentId=work["id"])
    error = await jmap.refused("Mailbox", "update", (below["id"], {"parentId": None}))
    assert error["type"] == "alreadyExists"
    # Not the same to a computer, so allowed.
    await jmap.create("Mailbox", name="work")


@must
async def test_a_role_has_one_mailbox(jmap: Jmap) -> None:
    trash = await jmap.mailbox("trash")
    error = await jmap.refused("Mailbox", "create", {"name": "Bin", "role": "trash"})
    assert error == {"type": "alreadyExists", "existingId": trash}
    sent = await jmap.mailbox("sent")
    await jmap.set("Mailbox", update={trash: {"role": "sent"}, sent: {"role": "trash"}})
    assert (await jmap.mailbox("trash"), await jmap.mailbox("sent")) == (sent, trash)


@must
@pytest.mark.parametrize(
    "role", ["all", "archive", "drafts", "flagged", "important", "junk", "sent", "subscribed"]
)
async def test_registered_roles_are_taken(jmap: Jmap, role: str) -> None:
    for box in (await jmap.call("Mailbox/get"))["list"]:
        if box["role"] == role:
            await jmap.update("Mailbox", box["id"], role=None)
    made = await jmap.create("Mailbox", name="New", role=role)
    assert await jmap.mailbox(role) == made["id"]


@must
async def test_two_mailboxes_may_swap_names(jmap: Jmap) -> None:
    a, b = [(await jmap.create("Mailbox", name=name))["id"] for name in "ab"]
    await jmap.set("Mailbox", update={a: {"name": "b"}, b: {"name": "a"}})
    assert (await jmap.get("Mailbox", a))["name"] == "b"


@must
async def test_a_name_may_be_taken_over_from_what_is_destroyed(jmap: Jmap) -> None:
    old = (await jmap.create("Mailbox", name="Work"))["id"]
    made = await jmap.set("Mailbox", create={"new": {"name": "Work"}}, destroy=[old])
    assert made["destroyed"] == [old]


@must
async def test_creation_ids_name_parents_in_any_order(jmap: Jmap) -> None:
    made = await jmap.set(
        "Mailbox",
        create={
            "c": {"name": "c", "parentId": "#b"},
            "b": {"name": "b", "parentId": "#a"},
            "a": {"name": "a"},
        },
    )
    child = await jmap.get("Mailbox", made["created"]["c"]["id"])
    assert child["parentId"] == made["created"]["b"]["id"]


@must
async def test_there_is_no_loop(jmap: Jmap) -> None:
    a = (await jmap.create("Mailbox", name="a"))["id"]
    b = (await jmap.create("Mailbox", name="b", parentId=a))["id"]
    for parent in (a, b):
        error = await jmap.refused("Mailbox", "update", (a, {"parentId": parent}))
        assert (error["type"], error["properties"]) == ("invalidProperties", ["parentId"])
    # Turned round in one call there is none in the end.
    await jmap.set("Mailbox", update={a: {"parentId": b}, b: {"parentId": None}})
    assert (await jmap.get("Mailbox", a))["parentId"] == b
    loop = await jmap.call("Mailbox/set", update={b: {"parentId": a}})
    assert set(loop["notUpdated"]) == {b}


@must
async def test_trees_have_an_announced_depth(store: str, tmp_path: Path) -> None:
    async with open_server(store, tmp_path, limits=Limits(max_mailbox_depth=3)) as app:
        jmap = await new_user(app)
        a = (await jmap.create("Mailbox", name="a"))["id"]
        b = (await jmap.create("Mailbox", name="b", parentId=a))["id"]
        c = (await jmap.create("Mailbox", name="c", parentId=b))["id"]
        assert (await jmap.refused("Mailbox", "create", {"name": "d", "parentId": c}))[
            "type"
        ] == "invalidProperties"
        other = (await jmap.create("Mailbox", name="other"))["id"]
        # What is below comes along.
        error = await jmap.refused("Mailbox", "update", (a, {"parentId": other}))
        assert error["properties"] == ["parentId"]
        await jmap.update("Mailbox", b, parentId=other)


@must
async def test_a_mailbox_with_children_stays(jmap: Jmap) -> None:
    a = (await jmap.create("Mailbox", name="a"))["id"]
    b = (await jmap.create("Mailbox", name="b", parentId=a))["id"]
    email = await jmap.import_email(message(), a)
    error = await jmap.refused("Mailbox", "destroy", a, onDestroyRemoveEmails=True)
    assert error["type"] == "mailboxHasChild"
    # And then no Email is removed.
    assert (await jmap.get("Email", email["id"]))["mailboxIds"] == {a: True}
    done = await jmap.set("Mailbox", destroy=[a, b], onDestroyRemoveEmails=True)
    assert set(done["destroyed"]) == {a, b}


@must
async def test_a_mailbox_with_mail_stays_unless_asked(jmap: Jmap) -> None:
    inbox = await jmap.mailbox("inbox")
    box = (await jmap.create("Mailbox", name="Work"))["id"]
    alone = await jmap.import_email(message("alone"), box)
    both = await jmap.import_email(message("both"), mailboxIds={box: True, inbox: True})
    assert (await jmap.refused("Mailbox", "destroy", box))["type"] == "mailboxHasEmail"
    email_state, thread_state = await jmap.state("Email"), await jmap.state("Thread")
    await jmap.set("Mailbox", destroy=[box], onDestroyRemoveEmails=True)
    assert (await jmap.get("Email", both["id"]))["mailboxIds"] == {inbox: True}
    changes = await jmap.call("Email/changes", sinceState=email_state)
    assert (changes["updated"], changes["destroyed"]) == ([both["id"]], [alone["id"]])
    changes = await jmap.call("Thread/changes", sinceState=thread_state)
    assert (changes["updated"], changes["destroyed"]) == ([], [alone["threadId"]])
    counted = await jmap.get("Mailbox", inbox)
    assert (counted["totalEmails"], counted["totalThreads"]) == (1, 1)


@must
async def test_counters_survive_the_end_of_the_trash(jmap: Jmap) -> None:
    trash, inbox = await jmap.mailbox("trash"), await jmap.mailbox("inbox")
    await jmap.import_email(message("Plan", Message_ID="<a@x>"), keywords={"$seen": True})
    await jmap.import_email(message("Plan", In_Reply_To="<a@x>"), trash)
    await jmap.import_email(message("Plan", References="<a@x>"), mailboxIds={trash: True, inbox: True})
    await jmap.set("Mailbox", destroy=[trash], onDestroyRemoveEmails=True)
    counted = await jmap.get("Mailbox", inbox)
    assert (counted["totalEmails"], counted["unreadEmails"]) == (2, 1)
    assert (counted["totalThreads"], counted["unreadThreads"]) == (1, 1)


@must
async def test_the_inbox_stays(jmap: Jmap) -> None:
    inbox = await jmap.mailbox("inbox")
    assert (await jmap.get("Mailbox", inbox))["myRights"]["mayDelete"] is False
    assert (await jmap.refused("Mailbox", "destroy", inbox))["type"] == "forbidden"
    assert (await jmap.refused("Mailbox", "update", (inbox, {"role": None})))["type"] == "forbidden"
    await jmap.update("Mailbox", inbox, name="Posteingang")


@must
async def test_each_mailbox_fails_for_itself(jmap: Jmap) -> None:
    """The last example of §2."""
    box = (await jmap.create("Mailbox", name="Important mail"))["id"]
    state = await jmap.state("Mailbox")
    done = await jmap.call(
        "Mailbox/set",
        ifInState=state,
        update={box: {"name": "Maybe important mail"}, "nowhere": {"name": "x"}},
        destroy=[await jmap.mailbox("inbox"), "nothing"],
    )
    assert done["oldState"] == state
    assert done["newState"] == await jmap.state("Mailbox") != state
    assert done["updated"] == {box: None}
    assert {error["type"] for error in done["notDestroyed"].values()} == {"forbidden", "notFound"}
    assert done["notUpdated"]["nowhere"]["type"] == "notFound"
    assert (await jmap.error("Mailbox/set", ifInState=state))["type"] == "stateMismatch"


@must
@pytest.mark.parametrize(
    "patch",
    [{"name": 1}, {"totalEmails": 5}, {"myRights": {}}, {"myRights/mayDelete": False}, {"colour": "red"}],
)
async def test_what_may_not_be_changed_is_named(jmap: Jmap, patch: dict[str, Any]) -> None:
    box = (await jmap.create("Mailbox", name="Work"))["id"]
    error = await jmap.refused("Mailbox", "update", (box, patch))
    assert error["type"] == "invalidProperties"
    assert error["properties"] == [pointer.split("/")[0] for pointer in patch]


@must
async def test_server_set_properties_may_be_given_as_they_are(jmap: Jmap) -> None:
    box = (await jmap.create("Mailbox", name="Work"))["id"]
    whole = await jmap.get("Mailbox", box)
    assert await jmap.update("Mailbox", box, **{**whole, "name": "Play"}) is None


@must
async def test_a_bad_patch_is_invalid(jmap: Jmap) -> None:
    box = (await jmap.create("Mailbox", name="Work"))["id"]
    error = await jmap.refused("Mailbox", "update", (box, {"name/x": "y"}))
    assert error["type"] == "invalidPatch"


@must
async def test_a_reader_changes_nothing(jmap: Jmap, reader: Jmap) -> None:
    error = await reader.error("Mailbox/set", create={"new": {"name": "Mine"}})
    assert error["type"] == "accountReadOnly"


@must
async def test_null_restores_a_default(jmap: Jmap) -> None:
    box = (await jmap.create("Mailbox", name="Work", sortOrder=5))["id"]
    await jmap.update("Mailbox", box, sortOrder=None)
    assert (await jmap.get("Mailbox", box))["sortOrder"] == 0
