"""RFC 8621 §4.1.1, §4.1.4: metadata and body parts of an Email."""

from typing import Any

import pytest

from jmap import Jmap, message

rfc, must, should = pytest.mark.rfc, pytest.mark.must, pytest.mark.should
pytestmark = rfc("8621", "4.1.4")


def part(type: str, body: str = "x", **fields: str) -> str:
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"Content-Type: {type}\r\n{more}\r\n{body}"


def multipart(kind: str, *parts: str) -> str:
    # The boundary of a nested multipart must not be the prefix of an outer one.
    mark = f"b{sum(map(len, parts))}{kind}"
    inner = "".join(f"--{mark}\r\n{one}\r\n" for one in parts)
    return f'Content-Type: multipart/{kind}; boundary="{mark}"\r\n\r\n{inner}--{mark}--\r\n'


def whole(entity: str) -> bytes:
    return f"Subject: s\r\nMIME-Version: 1.0\r\n{entity}".encode()


async def bodies(jmap: Jmap, data: bytes, **args: Any) -> Any:
    email = await jmap.import_email(data)
    names = ["bodyStructure", "textBody", "htmlBody", "attachments", "bodyValues", "hasAttachment", "preview"]
    return await jmap.get("Email", email["id"], properties=names, **args)


async def download(jmap: Jmap, id: str) -> bytes:
    found = await jmap.app.engine.download(jmap.identity, jmap.account, id)
    assert found is not None
    assert found.data is not None
    assert len(found.data) == found.size
    return found.data


EXAMPLE = multipart(
    "mixed",
    part("text/plain", Content_Disposition="inline", Content_Id="<A>"),
    multipart(
        "mixed",
        multipart(
            "alternative",
            multipart(
                "mixed",
                part("text/plain", Content_Disposition="inline", Content_Id="<B>"),
                part("image/jpeg", Content_Disposition="inline", Content_Id="<C>"),
                part("text/plain", Content_Disposition="inline", Content_Id="<D>"),
            ),
            multipart("related", part("text/html", Content_Id="<E>"), part("image/jpeg", Content_Id="<F>")),
        ),
        part("image/jpeg", Content_Disposition="attachment", Content_Id="<G>"),
        part("application/x-excel", Content_Id="<H>"),
        part("message/rfc822", "Subject: inner\r\n\r\nText", Content_Id="<J>"),
    ),
    part("text/plain", Content_Disposition="inline", Content_Id="<K>"),
)


@must
async def test_the_lists_are_those_of_the_specification(jmap: Jmap) -> None:
    found = await bodies(jmap, whole(EXAMPLE))
    lists = {
        name: "".join(part["cid"] for part in found[name]) for name in ("textBody", "htmlBody", "attachments")
    }
    assert lists == {"textBody": "ABCDK", "htmlBody": "AEK", "attachments": "CFGHJ"}
    assert found["hasAttachment"] is True


@must
async def test_the_structure_ends_at_an_enclosed_message(jmap: Jmap) -> None:
    root = (await bodies(jmap, whole(EXAMPLE)))["bodyStructure"]
    inner = root["subParts"][1]["subParts"][3]
    assert inner["type"] == "message/rfc822"
    assert inner.get("subParts") is None
    assert await download(jmap, inner["blobId"]) == b"Subject: inner\r\n\r\nText"


@must
async def test_only_a_multipart_has_neither_part_id_nor_blob(jmap: Jmap) -> None:
    stack = [(await bodies(jmap, whole(EXAMPLE)))["bodyStructure"]]
    ids = []
    while stack:
        one = stack.pop()
        is_multipart = one["type"].startswith("multipart/")
        assert (one["partId"] is None, one["blobId"] is None, "subParts" in one) == (is_multipart,) * 3
        ids += [] if is_multipart else [one["partId"]]
        stack += one.get("subParts") or []
    assert len(ids) == len(set(ids)) == 10


@must
async def test_properties_of_a_part(jmap: Jmap) -> None:
    data = whole(
        part(
            'text/x-notes; charset="ISO-8859-1"; name=other.txt', "Y2Fm6Q==",
            Content_Transfer_Encoding="base64",
            Content_Disposition="(c) attachment; filename*=utf-8''caf%C3%A9.txt",
            Content_ID=" (c) <id@x>", Content_Language="de, en-GB", Content_Location="https://example.com/x",
        )
    )  # fmt: skip
    names = "partId blobId size headers name type charset disposition cid language location subParts".split()
    found = await bodies(jmap, data, bodyProperties=[*names, "header:Content-LANGUAGE:asText", "header:X-No"])
    root = found["bodyStructure"]
    assert {name: root[name] for name in names if name not in ("partId", "blobId", "headers")} == {
        "size": 4, "name": "café.txt", "type": "text/x-notes", "charset": "ISO-8859-1", "disposition": "attachment",
        "cid": "id@x", "language": ["de", "en-GB"], "location": "https://example.com/x", "subParts": None,
    }  # fmt: skip
    assert root["header:Content-LANGUAGE:asText"] == "de, en-GB"
    assert root["header:X-No"] is None
    assert [field["name"] for field in root["headers"]][:2] == ["Subject", "MIME-Version"]
    assert await download(jmap, root["blobId"]) == b"caf\xe9"


@must
@pytest.mark.parametrize(
    ("entity", "type", "charset"),
    [
        ("\r\nx", "text/plain", "us-ascii"),
        (part("text/plain"), "text/plain", "us-ascii"),
        (part("text/plain; charset=utf-8"), "text/plain", "utf-8"),
        (part("TEXT/HTML"), "text/html", "us-ascii"),
        (part("image/png"), "image/png", None),
        (part("application/pdf; charset=x"), "application/pdf", "x"),
        (part("not a type"), "text/plain", "us-ascii"),
    ],
)
async def test_types_and_charsets(jmap: Jmap, entity: str, type: str, charset: str | None) -> None:
    root = (await bodies(jmap, whole(entity)))["bodyStructure"]
    assert (root["type"], root["charset"]) == (type, charset)


@must
async def test_parts_of_a_digest_are_messages(jmap: Jmap) -> None:
    root = await bodies(
        jmap, whole(multipart("digest", "\r\nSubject: one\r\n\r\n1", "\r\nSubject: two\r\n\r\n2"))
    )
    assert [one["type"] for one in root["bodyStructure"]["subParts"]] == ["message/rfc822"] * 2


@must
@pytest.mark.parametrize(
    ("encoding", "body", "octets"),
    [
        ("base64", "aGVsbG8=", b"hello"),
        ("QUOTED-PRINTABLE", "a=3Db=\r\nc", b"a=bc"),
        ("7bit", "a=3D", b"a=3D"),
        ("x-unknown", "a=3D", b"a=3D"),
        ("x-uuencode", "begin 644 f\r\n#8V%T\r\n`\r\nend\r\n", b"cat"),
        ("uuencode", "begin 644 f\r\n#8V%T\r\n`\r\nend\r\n", b"cat"),
    ],
)
async def test_blobs_and_sizes_are_of_decoded_octets(
    jmap: Jmap, encoding: str, body: str, octets: bytes
) -> None:
    data = whole(part("application/x-data", body, Content_Transfer_Encoding=encoding))
    root = (await bodies(jmap, data))["bodyStructure"]
    assert root["size"] == len(octets)
    assert await download(jmap, root["blobId"]) == octets


@must
@pytest.mark.parametrize(
    ("entity", "expected", "problem"),
    [
        (part("text/plain; charset=utf-8", "a\r\nb\r\n"), "a\nb\n", False),
        (
            part("text/plain; charset=iso-8859-1", "caf=E9", Content_Transfer_Encoding="quoted-printable"),
            "café",
            False,
        ),
        (
            part("text/plain; charset=utf-8", "=FFx", Content_Transfer_Encoding="quoted-printable"),
            "\ufffdx",
            True,
        ),
        (part("text/plain; charset=klingon", "x"), "x", True),
        (part("text/plain", "x", Content_Transfer_Encoding="x-unknown"), "x", True),
    ],
)
async def test_values_are_decoded(jmap: Jmap, entity: str, expected: str, problem: bool) -> None:
    found = await bodies(jmap, whole(entity), fetchTextBodyValues=True)
    assert list(found["bodyValues"].values()) == [
        {"value": expected, "isEncodingProblem": problem, "isTruncated": False}
    ]


@should
@pytest.mark.parametrize(
    ("entity", "expected"),
    [
        (part("text/plain"), False),
        (multipart("mixed", part("text/plain"), part("application/pdf")), True),
        (
            multipart("mixed", part("text/plain"), part("application/pdf", Content_Disposition="inline")),
            False,
        ),
        (part("application/pdf"), True),
    ],
)
async def test_has_attachment(jmap: Jmap, entity: str, expected: bool) -> None:
    assert (await bodies(jmap, whole(entity)))["hasAttachment"] is expected


@must
async def test_the_preview_is_short_text(jmap: Jmap) -> None:
    html = "<style>p {}</style><p>Hello &amp; <b>welcome</b></p>" + "long " * 200
    preview = (await bodies(jmap, whole(part("text/html", html))))["preview"]
    assert preview.startswith("Hello & welcome long")
    assert len(preview) <= 256


@rfc("8621", "4.1.1")
@must
async def test_metadata(jmap: Jmap) -> None:
    data = message()
    inbox = await jmap.mailbox("inbox")
    made = await jmap.import_email(
        data, keywords={"$Seen": True, "Work": True}, receivedAt="2024-02-29T12:00:00Z"
    )
    names = ["id", "blobId", "threadId", "mailboxIds", "keywords", "size", "receivedAt"]
    assert await jmap.get("Email", made["id"], properties=names) == {
        **made,
        "mailboxIds": {inbox: True},
        "keywords": {"$seen": True, "work": True},
        "receivedAt": "2024-02-29T12:00:00Z",
    }
    assert made["size"] == len(data)
    assert await download(jmap, made["blobId"]) == data
