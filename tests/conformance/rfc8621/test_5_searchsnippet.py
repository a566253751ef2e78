"""RFC 8621 §5: SearchSnippet/get."""

from typing import Any

import pytest

from jmap import Jmap, message

rfc, must, should = pytest.mark.rfc, pytest.mark.must, pytest.mark.should
pytestmark = rfc("8621", "5")


async def snippet(
    jmap: Jmap, filter: Any, subject: str = "Hello", body: str = "Text.", **headers: str
) -> Any:
    email = await jmap.import_email(message(subject, body, **headers))
    response = await jmap.call("SearchSnippet/get", filter=filter, emailIds=[email["id"]])
    assert response["notFound"] is None
    found = response["list"][0]
    assert found.pop("emailId") == email["id"]
    assert set(found) == {"subject", "preview"}
    return found


@must
async def test_what_matches_is_marked(jmap: Jmap) -> None:
    found = await snippet(jmap, {"text": "foosball"}, "The Foosball competition", "A foosball\nplayer.")
    assert found["subject"] == "The <mark>Foosball</mark> competition"
    assert "<mark>foosball</mark>" in found["preview"]


@must
async def test_what_does_not_match_is_null(jmap: Jmap) -> None:
    assert await snippet(jmap, {"text": "absent"}) == {"subject": None, "preview": None}
    assert (await snippet(jmap, {"subject": "hello"}))["preview"] is None
    assert (await snippet(jmap, {"body": "text"}))["subject"] is None
    assert await snippet(jmap, {"hasKeyword": "$seen"}) == {"subject": None, "preview": None}
    assert await snippet(jmap, None) == {"subject": None, "preview": None}


@must
async def test_markup_in_the_text_is_escaped(jmap: Jmap) -> None:
    found = await snippet(jmap, {"text": "one"}, "<b> one & two", "often returns <1 widget & one more")
    assert found["subject"] == "&lt;b&gt; <mark>one</mark> &amp; two"
    assert "&lt;1 widget &amp; <mark>one</mark>" in found["preview"]


@must
async def test_html_is_shown_as_text(jmap: Jmap) -> None:
    body = "<head><style>p{}</style></head><p>A <b>fine</b> day &lt;3</p>"
    found = await snippet(jmap, {"text": "fine"}, body=body, Content_Type="text/html; charset=utf-8")
    assert "A <mark>fine</mark> day &lt;3" in found["preview"]


@must
@pytest.mark.parametrize("word", ["needle", "nädel"])
async def test_the_preview_is_short_and_around_the_match(jmap: Jmap, word: str) -> None:
    found = await snippet(jmap, {"text": word}, body="häystack <&> " * 500 + word + " häystack <&>" * 500)
    assert f"<mark>{word}</mark>" in found["preview"]
    assert len(found["preview"].encode()) <= 255


@must
async def test_operators_and_phrases(jmap: Jmap) -> None:
    filter = {
        "operator": "OR",
        "conditions": [{"subject": '"quick fox"'}, {"operator": "NOT", "conditions": [{"subject": "dog"}]}],
    }
    found = await snippet(jmap, filter, "The quick fox and the dog, fox quick")
    assert found["subject"].count("<mark>") in (1, 2)
    assert "<mark>dog</mark>" not in found["subject"]
    assert "fox quick" in found["subject"]


@rfc("8621", "5.1")
@must
async def test_unknown_emails_are_listed(jmap: Jmap) -> None:
    email = (await jmap.import_email(message("Hello")))["id"]
    response = await jmap.call("SearchSnippet/get", filter={"text": "hello"}, emailIds=["nothing", email])
    assert [one["emailId"] for one in response["list"]] == [email]
    assert response["notFound"] == ["nothing"]


@rfc("8621", "5.1")
@must
async def test_errors(jmap: Jmap) -> None:
    for args, error in (
        ({"filter": {"colour": "red"}, "emailIds": []}, "unsupportedFilter"),
        ({"filter": {"text": "x"}, "emailIds": ["e"] * 5000}, "requestTooLarge"),
        ({"filter": {"text": 5}, "emailIds": []}, "invalidArguments"),
        ({"filter": None}, "invalidArguments"),
    ):
        assert (await jmap.error("SearchSnippet/get", **args))["type"] == error
