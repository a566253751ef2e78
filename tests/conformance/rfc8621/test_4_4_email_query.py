"""RFC 8621 §4.4, §4.5: Email/query and Email/queryChanges."""

from typing import Any

import pytest

from jmap import Jmap, message

rfc, must, should = pytest.mark.rfc, pytest.mark.must, pytest.mark.should
pytestmark = rfc("8621", "4.4")

OLDEST = [{"property": "receivedAt"}]
NEWEST = [{"property": "receivedAt", "isAscending": False}]


class Mail:
    """Emails by a letter: ``ids`` of letters, ``letters`` of ids."""

    def __init__(self, jmap: Jmap) -> None:
        self.jmap, self.ids = jmap, dict[str, str]()

    async def add(self, letter: str, data: bytes, **more: Any) -> None:
        day = f"2024-01-{len(self.ids) + 1:02}T00:00:00Z"
        self.ids[letter] = (await self.jmap.import_email(data, **{"receivedAt": day, **more}))["id"]

    def letters(self, ids: list[str]) -> str:
        by_id = {id: letter for letter, id in self.ids.items()}
        return "".join(by_id[id] for id in ids)

    async def find(self, filter: Any = None, sort: Any = OLDEST, **args: Any) -> str:
        """The letters of what a query finds."""
        return self.letters(await self.jmap.query("Email", filter=filter, sort=sort, **args))


@pytest.fixture
async def mail(jmap: Jmap) -> Mail:
    """a, b, c are one thread; d has an attachment; e is HTML."""
    mail = Mail(jmap)
    archive, inbox = await jmap.mailbox("archive"), await jmap.mailbox("inbox")
    await mail.add(
        "a", message("Plan B", "The quick fox", Message_ID="<a@x>"), keywords={"$seen": True, "work": True}
    )
    await mail.add(
        "b", message("Re: Plan B", "jumps over", From="Zoe <zoe@mail.example.org>", References="<a@x>"),
        keywords={"work": True}, mailboxIds={inbox: True, archive: True},
    )  # fmt: skip
    await mail.add(
        "c", message("Re: [list] plan b", "the lazy dog", References="<a@x>", Cc="cc@example.net"),
        keywords={"$flagged": True, "work": True}, mailboxIds={archive: True},
    )  # fmt: skip
    await mail.add(
        "d",
        message("alpha", "x" * 3000, From="anna@example.com", To="Boss <boss@example.com>", Bcc="hid@example.com",
                Date="Mon, 1 Jan 2001 00:00:00 +0000", Content_Type="application/pdf"),
    )  # fmt: skip
    await mail.add(
        "e",
        message("=?utf-8?q?=C3=9Cbung_macht?=",
                '<head><title>ignored</title></head><p class="markup">caf\u00e9 <b>MAR</b>KET</p><img alt="picture">',
                From="=?utf-8?q?Bj=C3=B6rn?= <b@example.com>", To="aa@example.com", X_Note="=?utf-8?q?gr=C3=BCn?=",
                Date="Mon, 1 Jan 2035 00:00:00 +0900", Content_Type="text/html; charset=utf-8"),
        keywords={"$draft": True},
    )  # fmt: skip
    return mail


@rfc("8621", "4.4.1")
@must
@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ({"before": "2024-01-03T00:00:00Z"}, "ab"),
        ({"before": "2024-01-03T00:00:00.5Z"}, "abc"),
        ({"after": "2024-01-03T00:00:00Z"}, "cde"),
        ({"after": "2024-01-03T00:00:00.5Z"}, "de"),
        ({"after": "2024-01-02T00:00:00Z", "before": "2024-01-04T00:00:00Z"}, "bc"),
        ({"minSize": 3000}, "d"),
        ({"maxSize": 3000}, "abce"),
        ({"hasKeyword": "work"}, "abc"),
        ({"hasKeyword": "WORK"}, "abc"),
        ({"notKeyword": "work"}, "de"),
        ({"allInThreadHaveKeyword": "work"}, "abc"),
        ({"allInThreadHaveKeyword": "$seen"}, ""),
        ({"someInThreadHaveKeyword": "$FLAGGED"}, "abc"),
        ({"noneInThreadHaveKeyword": "$flagged"}, "de"),
        ({"hasAttachment": True}, "d"),
        ({"hasAttachment": False}, "abce"),
        ({}, "abcde"),
        (None, "abcde"),
        ({"operator": "AND", "conditions": [{"hasKeyword": "work"}, {"hasKeyword": "$seen"}]}, "a"),
        ({"operator": "OR", "conditions": [{"hasKeyword": "$flagged"}, {"hasKeyword": "$seen"}]}, "ac"),
        ({"operator": "NOT", "conditions": [{"hasKeyword": "$flagged"}, {"hasKeyword": "$seen"}]}, "bde"),
        ({"operator": "NOT", "conditions": [{"operator": "NOT", "conditions": [{"minSize": 3000}]}]}, "d"),
        ({"operator": "OR", "conditions": []}, ""),
        ({"operator": "NOT", "conditions": []}, "abcde"),
    ],
)
async def test_every_filter_on_metadata(mail: Mail, filter: Any, expected: str) -> None:
    assert await mail.find(filter) == expected


@rfc("8621", "4.4.1")
@must
async def test_filters_on_mailboxes(mail: Mail) -> None:
    inbox, archive = await mail.jmap.mailbox("inbox"), await mail.jmap.mailbox("archive")
    assert await mail.find({"inMailbox": inbox}) == "abde"
    assert await mail.find({"inMailbox": archive}) == "bc"
    assert await mail.find({"inMailbox": inbox, "hasKeyword": "work"}) == "ab"
    assert await mail.find({"inMailboxOtherThan": [inbox]}) == "bc"
    assert await mail.find({"inMailboxOtherThan": [inbox, archive]}) == ""
    assert await mail.find({"inMailboxOtherThan": []}) == "abcde"
    assert await mail.find({"inMailbox": "nowhere"}) == ""


@rfc("8621", "4.4.1")
@must
@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ({"text": "anna"}, "d"),
        ({"text": "boss"}, "d"),
        ({"text": "cc@example.net"}, "c"),
        ({"text": "hid"}, "d"),
        ({"text": "alpha"}, "d"),
        ({"from": "zoe"}, "b"),
        ({"from": "mail.example.org"}, "b"),
        ({"from": "björn"}, "e"),
        ({"to": "boss"}, "d"),
        ({"cc": "example.net"}, "c"),
        ({"bcc": "hid"}, "d"),
        ({"subject": "PLAN"}, "abc"),
        ({"subject": "übung"}, "e"),
        ({"subject": "anna"}, ""),
        ({"subject": "plan zebra"}, ""),
        ({"subject": "b plan"}, "abc"),
        ({"header": ["bcc"]}, "d"),
        ({"header": ["BCC", "hid"]}, "d"),
        ({"header": ["bcc", "nobody"]}, ""),
        ({"header": ["X-Note", "GRÜN"]}, "e"),
        ({"header": ["subject", "macht"]}, "e"),
    ],
)
async def test_every_filter_on_text(mail: Mail, filter: Any, expected: str) -> None:
    assert await mail.find(filter) == expected


@rfc("8621", "4.4.1")
@should
@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ({"text": "lazy"}, "c"),
        ({"body": "fox"}, "a"),
        ({"body": "plan"}, ""),
        ({"body": '"quick fox"'}, "a"),
        ({"body": "'quick fox'"}, "a"),
        ({"body": '"fox quick"'}, ""),
        ({"body": "fox quick"}, "a"),
        ({"body": r'"quick \"fox\""'}, "a"),
        ({"body": "CAFÉ"}, "e"),
        ({"body": "picture"}, "e"),
        ({"body": "market"}, "e"),
        ({"body": "markup"}, ""),
        ({"body": "ignored"}, ""),
        ({"operator": "NOT", "conditions": [{"text": "plan"}]}, "de"),
    ],
)
async def test_text_is_matched_as_suggested(mail: Mail, filter: Any, expected: str) -> None:
    assert await mail.find(filter) == expected


@rfc("8621", "4.4.1")
@must
@pytest.mark.parametrize(
    "filter",
    [
        {"inMailbox": None}, {"inMailbox": 1}, {"inMailboxOtherThan": "x"}, {"before": "yesterday"}, {"minSize": -1},
        {"maxSize": 1.5}, {"hasKeyword": 1}, {"hasAttachment": "yes"}, {"text": 1}, {"header": []}, {"header": "x"},
        {"header": ["a", "b", "c"]}, {"operator": "NAND", "conditions": []}, {"operator": "AND"}, [],
        {"after": "9999-12-31T23:59:59.5Z"},
        {"operator": "AND", "conditions": [None]},
    ],
)  # fmt: skip
async def test_a_malformed_filter_is_refused(jmap: Jmap, filter: Any) -> None:
    assert (await jmap.error("Email/query", filter=filter))["type"] == "invalidArguments"


@rfc("8621", "4.4.1")
@must
async def test_an_unknown_filter_is_unsupported(jmap: Jmap) -> None:
    assert (await jmap.error("Email/query", filter={"colour": "red"}))["type"] == "unsupportedFilter"


@rfc("8621", "4.4.2")
@must
async def test_received_at_sorts(mail: Mail) -> None:
    assert await mail.find(sort=OLDEST) == "abcde"
    assert await mail.find(sort=NEWEST) == "edcba"


@rfc("8621", "4.4.2")
@should
@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ([{"property": "from"}, *OLDEST], "acdeb"),
        ([{"property": "to"}, *OLDEST], "eabcd"),
        ([{"property": "subject"}, *OLDEST], "dabce"),
        ([{"property": "subject", "collation": "i;ascii-casemap", "isAscending": False}, *NEWEST], "ecbad"),
        ([{"property": "sentAt"}, *OLDEST], "abcde"),
        ([{"property": "sentAt", "isAscending": False}, *OLDEST], "edabc"),
        ([{"property": "hasKeyword", "keyword": "$seen"}, *OLDEST], "bcdea"),
        ([{"property": "hasKeyword", "keyword": "$SEEN", "isAscending": False}, *OLDEST], "abcde"),
        ([{"property": "allInThreadHaveKeyword", "keyword": "work", "isAscending": False}, *NEWEST], "cbaed"),
        ([{"property": "someInThreadHaveKeyword", "keyword": "$flagged"}, *OLDEST], "deabc"),
        (
            [
                {"property": "someInThreadHaveKeyword", "keyword": "$flagged", "isAscending": False},
                {"property": "subject", "collation": "i;ascii-casemap"},
                {"property": "receivedAt", "isAscending": False},
            ],
            "cbade",
        ),
    ],
)
async def test_every_sort(mail: Mail, sort: Any, expected: str) -> None:
    assert await mail.find(sort=sort) == expected


@rfc("8621", "4.4.2")
@should
async def test_size_sorts(mail: Mail) -> None:
    found = await mail.find(sort=[{"property": "size", "isAscending": False}])
    sizes = [
        (await mail.jmap.get("Email", mail.ids[letter], properties=["size"]))["size"] for letter in found
    ]
    assert sizes == sorted(sizes, reverse=True)


@rfc("8621", "4.4.2")
@must
async def test_bad_sorts_are_refused(jmap: Jmap) -> None:
    for sort, error in (
        ([{"property": "colour"}], "unsupportedSort"),
        ([{"property": "subject", "collation": "i;klingon"}], "unsupportedSort"),
        ([{"property": "hasKeyword"}], "invalidArguments"),
        ([{"isAscending": True}], "invalidArguments"),
        ([{"property": "size", "isAscending": 1}], "invalidArguments"),
    ):
        assert (await jmap.error("Email/query", sort=sort))["type"] == error, sort


@rfc("8621", "4.4.3")
@must
async def test_threads_collapse_to_their_first_email(mail: Mail) -> None:
    assert await mail.find(sort=OLDEST, collapseThreads=True) == "ade"
    assert await mail.find(sort=NEWEST, collapseThreads=True) == "edc"
    # After filtering: the first of those that match.
    assert await mail.find({"notKeyword": "$seen"}, sort=OLDEST, collapseThreads=True) == "bde"
    found = await mail.jmap.call(
        "Email/query", sort=NEWEST, collapseThreads=True, calculateTotal=True, limit=1
    )
    assert (mail.letters(found["ids"]), found["total"]) == ("e", 3)


@must
@pytest.mark.parametrize("collapse", [False, True])
async def test_windows(mail: Mail, collapse: bool) -> None:
    everything = "ade" if collapse else "abcde"
    for args, expected, position in (
        ({"position": 1, "limit": 1}, everything[1:2], 1),
        ({"position": -2}, everything[-2:], len(everything) - 2),
        ({"position": -50, "limit": 2}, everything[:2], 0),
        ({"position": 50}, "", 50),
        ({"limit": 0}, "", 0),
        ({"anchor": mail.ids["d"]}, everything[everything.index("d") :], everything.index("d")),
        ({"anchor": mail.ids["d"], "anchorOffset": -1, "limit": 2, "position": 4},
         everything[everything.index("d") - 1 :][:2], everything.index("d") - 1),
        ({"anchor": mail.ids["d"], "anchorOffset": 1}, "e", everything.index("e")),
        ({"anchor": mail.ids["a"], "anchorOffset": -9, "limit": 1}, "a", 0),
    ):  # fmt: skip
        found = await mail.jmap.call(
            "Email/query", sort=OLDEST, collapseThreads=collapse, calculateTotal=True, **args
        )
        assert (mail.letters(found["ids"]), found["total"]) == (expected, len(everything)), args
        assert found["position"] == position, args


@must
async def test_an_anchor_must_be_among_the_results(mail: Mail) -> None:
    error = await mail.jmap.error("Email/query", filter={"hasKeyword": "work"}, anchor=mail.ids["e"])
    assert error["type"] == "anchorNotFound"
    error = await mail.jmap.error("Email/query", sort=OLDEST, collapseThreads=True, anchor=mail.ids["b"])
    assert error["type"] == "anchorNotFound"
    assert (await mail.jmap.error("Email/query", limit=-1))["type"] == "invalidArguments"


@must
async def test_totals_are_the_counters_of_the_mailbox(mail: Mail) -> None:
    jmap = mail.jmap
    for box in (await jmap.call("Mailbox/get"))["list"]:
        for collapse, counter in ((False, "totalEmails"), (True, "totalThreads")):
            found = await jmap.call(
                "Email/query", filter={"inMailbox": box["id"]}, collapseThreads=collapse, calculateTotal=True
            )
            assert found["total"] == len(found["ids"]) == box[counter]
            alone = await jmap.call(
                "Email/query",
                filter={"inMailbox": box["id"]},
                collapseThreads=collapse,
                calculateTotal=True,
                limit=0,
            )
            assert alone["total"] == box[counter]


@must
async def test_a_query_has_a_state_and_no_uncalled_for_total(mail: Mail) -> None:
    found = await mail.jmap.call("Email/query")
    assert "total" not in found
    assert found["canCalculateChanges"] is True
    assert found["queryState"] == await mail.jmap.state("Email")


@rfc("8621", "4.5")
@must
@pytest.mark.parametrize("collapse", [False, True])
@pytest.mark.parametrize(
    "filter",
    [
        None,
        {"someInThreadHaveKeyword": "$flagged"},
        {"noneInThreadHaveKeyword": "$flagged"},
        {"text": "plan"},
    ],
)
async def test_changes_can_be_spliced(mail: Mail, filter: Any, collapse: bool) -> None:
    jmap = mail.jmap
    args = {"filter": filter, "sort": NEWEST, "collapseThreads": collapse}
    before = await jmap.call("Email/query", **args)
    await jmap.update("Email", mail.ids["c"], **{"keywords/$flagged": None})
    await jmap.set("Email", destroy=[mail.ids["b"]])
    await mail.add("f", message("Plan B", References="<a@x>"), keywords={"$flagged": True})
    await mail.add("g", message("Plan G"), keywords={"$flagged": True})
    changes = await jmap.call(
        "Email/queryChanges", sinceQueryState=before["queryState"], calculateTotal=True, **args
    )
    ids = [id for id in before["ids"] if id not in changes["removed"]]
    for item in changes["added"]:
        ids.insert(item["index"], item["id"])
    assert ids == await jmap.query("Email", **args)
    assert changes["total"] == len(ids)
    assert changes["oldQueryState"] == before["queryState"]
    too_many = await jmap.error(
        "Email/queryChanges", sinceQueryState=before["queryState"], maxChanges=1, **args
    )
    assert too_many["type"] == "tooManyChanges"


@rfc("8621", "4.5")
@must
async def test_changes_need_a_known_state(mail: Mail) -> None:
    for state in ("x", "99999999"):
        error = await mail.jmap.error("Email/queryChanges", sinceQueryState=state)
        assert error["type"] == "cannotCalculateChanges"


@rfc("8621", "4.5")
@should
async def test_what_cannot_move_is_not_reported(mail: Mail) -> None:
    args = {
        "filter": {"inMailbox": await mail.jmap.mailbox("inbox")},
        "sort": NEWEST,
        "collapseThreads": True,
    }
    before = await mail.jmap.call("Email/query", **args)
    await mail.jmap.update("Email", mail.ids["a"], **{"keywords/$flagged": True})
    changes = await mail.jmap.call("Email/queryChanges", sinceQueryState=before["queryState"], **args)
    assert (changes["removed"], changes["added"]) == ([], [])
