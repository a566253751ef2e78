"""RFC 8621 §4.1.2, §4.1.3: header fields of an Email, raw and in parsed forms."""

from typing import Any

import pytest

from jmap import Jmap, message

rfc, must, should = pytest.mark.rfc, pytest.mark.must, pytest.mark.should
pytestmark = rfc("8621", "4.1.2")

FORMS = ("asRaw", "asText", "asAddresses", "asGroupedAddresses", "asMessageIds", "asDate", "asURLs")
# §4.1.2.2-4.1.2.7: the fields of RFC 5322 and RFC 2369, and the parsed form that each may have.
ALLOWED = {
    "asText": ["Subject", "Comments", "Keywords"],
    "asAddresses": [
        "From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Resent-From", "Resent-Sender", "Resent-Reply-To",
        "Resent-To", "Resent-Cc", "Resent-Bcc",
    ],
    "asMessageIds": ["Message-ID", "In-Reply-To", "References", "Resent-Message-ID"],
    "asDate": ["Date", "Resent-Date"],
    "asURLs": ["List-Help", "List-Unsubscribe", "List-Subscribe", "List-Post", "List-Owner", "List-Archive"],
}  # fmt: skip


async def value(jmap: Jmap, data: bytes, name: str) -> Any:
    email = await jmap.import_email(data)
    return (await jmap.get("Email", email["id"], properties=[name]))[name]


def field(name: str, raw: str | bytes) -> bytes:
    octets = raw if isinstance(raw, bytes) else raw.encode()
    return name.encode() + b":" + octets + b"\r\n\r\nText.\r\n"


@must
@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b" plain", " plain"),
        (b"tight", "tight"),
        (b" folded\r\n\tline ", " folded\r\n\tline "),
        (b" nul\0 goes", " nul goes"),
        (" Grüße".encode(), " Grüße"),
        (b" Gr\xfc\xdfe", " Gr\ufffd\ufffde"),
        (b" =?utf-8?q?x?=", " =?utf-8?q?x?="),
        (b"", ""),
    ],
)
async def test_raw(jmap: Jmap, raw: bytes, expected: str) -> None:
    assert await value(jmap, field("X-Test", raw), "header:X-Test") == expected


@must
@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("  a\r\n b", "a b"),
        (" =?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        (" =?utf-8?b?R3LDvMOfZQ==?= =?utf-8?q?_you?=", "Grüße you"),
        (" =?iso-8859-1?q?caf=E9?= now", "café now"),
        (" Cafe\u0301", "Caf\u00e9"),
        (" =?utf-8?q?a=00b=07c?=", "abc"),
        # Not set off by white space: no encoded word.
        (" x=?utf-8?q?y?=z", "x=?utf-8?q?y?=z"),
    ],
)
async def test_text(jmap: Jmap, raw: str, expected: str) -> None:
    assert await value(jmap, field("Subject", raw), "header:Subject:asText") == expected


GROUPS = (
    ' "  James Smythe" <james@example.com>, Friends:\r\n  jane@example.com, '
    "=?UTF-8?Q?John_Sm=C3=AEth?=\r\n  <john@example.com>;"
)


@must
async def test_addresses_as_in_the_specification(jmap: Jmap) -> None:
    found = await value(jmap, field("To", GROUPS), "header:To:asAddresses")
    assert found == [
        {"name": "James Smythe", "email": "james@example.com"},
        {"name": None, "email": "jane@example.com"},
        {"name": "John Smîth", "email": "john@example.com"},
    ]


@must
async def test_grouped_addresses_as_in_the_specification(jmap: Jmap) -> None:
    found = await value(jmap, field("To", GROUPS), "header:To:asGroupedAddresses")
    assert found == [
        {"name": None, "addresses": [{"name": "James Smythe", "email": "james@example.com"}]},
        {
            "name": "Friends",
            "addresses": [
                {"name": None, "email": "jane@example.com"},
                {"name": "John Smîth", "email": "john@example.com"},
            ],
        },
    ]


@should
@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (" bob@example.com (Bob)", [{"name": "Bob", "email": "bob@example.com"}]),
        (' "B \\"ob\\"" <b@example.com>', [{"name": 'B "ob"', "email": "b@example.com"}]),
        (" undisclosed:;", []),
        (" Jürgen <jürgen@bücher.example>", [{"name": "Jürgen", "email": "jürgen@bücher.example"}]),
    ],
)
async def test_addresses(jmap: Jmap, raw: str, expected: Any) -> None:
    assert await value(jmap, field("To", raw), "to") == expected


@must
@pytest.mark.parametrize(
    ("name", "raw", "expected"),
    [
        ("References:asMessageIds", " <a@x> (note)\r\n <b@y>", ["a@x", "b@y"]),
        ("Date:asDate", " Fri, 13 Oct 2023 14:12:00 -0700", "2023-10-13T14:12:00-07:00"),
        ("Date:asDate", " yesterday", None),
        ("List-Post:asURLs", " <mailto:a@example.com>, (web) <https://example.com/>",
         ["mailto:a@example.com", "https://example.com/"]),
    ],
)  # fmt: skip
async def test_ids_dates_and_urls(jmap: Jmap, name: str, raw: str, expected: Any) -> None:
    assert await value(jmap, field(name.split(":", 1)[0], raw), f"header:{name}") == expected


@must
@pytest.mark.parametrize("form", FORMS)
async def test_each_form_is_for_its_fields(jmap: Jmap, form: str) -> None:
    email = await jmap.import_email(message())
    twins = {"asGroupedAddresses": "asAddresses"}
    for group, names in ALLOWED.items():
        for name in names:
            args = {
                "ids": [email["id"]],
                "properties": [f"header:{name}:{form}", f"header:{name.upper()}:{form}:all"],
            }
            if form in ("asRaw", group) or twins.get(form) == group:
                await jmap.call("Email/get", **args)
            else:
                assert (await jmap.error("Email/get", **args))["type"] == "invalidArguments", (name, form)
    # Fields of other RFCs may have any form.
    await jmap.call(
        "Email/get", ids=[email["id"]], properties=[f"header:X-Any:{form}", f"header:List-Id:{form}"]
    )


@must
@pytest.mark.parametrize(
    "name",
    [
        "header:", "header:X:asNothing", "header:X:all:asText", "header:X:astext", "header:X Y", "header:X:all:all",
        "header:Ü", "headers:X", "header:From:asDate", "Header:From",
    ],
)  # fmt: skip
async def test_a_malformed_or_forbidden_property_is_refused(jmap: Jmap, name: str) -> None:
    email = await jmap.import_email(message())
    for args in ({"properties": [name]}, {"properties": ["bodyStructure"], "bodyProperties": [name]}):
        assert (await jmap.error("Email/get", ids=[email["id"]], **args))["type"] == "invalidArguments"
    # Whether or not there is an Email to show it of.
    assert (await jmap.error("Email/get", ids=[], properties=[name]))["type"] == "invalidArguments"


TWICE = b"X-Twice: one\r\nSubject: s\r\nx-twice: <two@x>\r\n\r\n"


@rfc("8621", "4.1.3")
@must
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("header:X-Twice", " <two@x>"),
        ("header:x-TWICE", " <two@x>"),
        ("header:X-Twice:all", [" one", " <two@x>"]),
        ("header:X-Twice:asText", "<two@x>"),
        ("header:X-Twice:asDate:all", [None, None]),
        ("header:X-None", None),
        ("header:X-None:all", []),
        ("header:X-None:asAddresses", None),
        ("header:X-None:asAddresses:all", []),
        ("header:Resent-To:asAddresses:all", []),
    ],
)
async def test_the_last_instance_or_all(jmap: Jmap, name: str, expected: Any) -> None:
    assert await value(jmap, TWICE, name) == expected


@rfc("8621", "4.1.3")
@must
async def test_all_fields_stand_in_order_with_their_names(jmap: Jmap) -> None:
    assert await value(jmap, TWICE, "headers") == [
        {"name": "X-Twice", "value": " one"},
        {"name": "Subject", "value": " s"},
        {"name": "x-twice", "value": " <two@x>"},
    ]


@rfc("8621", "4.1.3")
@must
async def test_convenience_properties_are_the_parsed_forms(jmap: Jmap) -> None:
    data = message(
        Message_ID="<m@x>", In_Reply_To="<a@x> <b@x>", References="<a@x> <b@x>", Sender="s@example.com",
        Cc="c@example.com, d@example.com", Bcc="e@example.com", Reply_To="Re <r@example.com>",
        Date="Mon, 1 Jan 2024 10:00:00 +0100",
    )  # fmt: skip
    pairs = {
        "messageId": "header:Message-ID:asMessageIds",
        "inReplyTo": "header:In-Reply-To:asMessageIds",
        "references": "header:References:asMessageIds",
        "sender": "header:Sender:asAddresses",
        "from": "header:From:asAddresses",
        "to": "header:To:asAddresses",
        "cc": "header:Cc:asAddresses",
        "bcc": "header:Bcc:asAddresses",
        "replyTo": "header:Reply-To:asAddresses",
        "subject": "header:Subject:asText",
        "sentAt": "header:Date:asDate",
    }
    for octets in (data, b"X: y\r\n\r\n"):
        email = await jmap.import_email(octets)
        found = await jmap.get("Email", email["id"], properties=[*pairs, *pairs.values()])
        assert {name: found[name] for name in pairs} == {name: found[long] for name, long in pairs.items()}
    assert all(found[name] is None for name in pairs)
