"""The URLs of a session (RFC 8620 §2, RFC 6570)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from veredus.client.errors import ProtocolError
from veredus.client.templates import download_url, event_source_url, upload_url

SESSION = "https://mail.example.com/.well-known/jmap"
TEMPLATE = "/download/{accountId}/{blobId}/{name}?accept={type}"


def of(
    template: str = TEMPLATE, session: str = SESSION, name: str = "a.txt", type: str = "text/plain"
) -> str:
    return download_url(template, session, account_id="A1", blob_id="G-2", name=name, type=type)


@pytest.mark.parametrize(
    ("name", "expanded"),
    [
        ("a.txt", "a.txt"),
        ("a/b c.txt", "a%2Fb%20c.txt"),
        ("100%.txt", "100%25.txt"),
        ("a%2Fb", "a%252Fb"),
        ("Straße é 发票.pdf", "Stra%C3%9Fe%20%C3%A9%20%E5%8F%91%E7%A5%A8.pdf"),
        ("{name}?#&=+", "%7Bname%7D%3F%23%26%3D%2B"),
        ("a\r\nb", "a%0D%0Ab"),
        ("..", "unnamed"),
        (".", "unnamed"),
        ("", "unnamed"),
        ("...", "..."),
        ("../../etc", "..%2F..%2Fetc"),
    ],
)
def test_a_name_is_one_segment_of_the_path(name: str, expanded: str) -> None:
    assert of(name=name) == f"https://mail.example.com/download/A1/G-2/{expanded}?accept=text%2Fplain"


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8"), min_size=1))
def test_the_server_reads_the_name_and_type_that_were_given(name: str, type: str) -> None:
    # As aiohttp sends it: what is escaped stays so.
    url = URL(of("https://h/d/{accountId}/{blobId}?n={name}&t={type}", name=name, type=type), encoded=True)
    wanted = "unnamed" if name in (".", "..") else name
    assert dict(url.query) == {"n": wanted, "t": type}


@pytest.mark.parametrize(
    ("template", "url"),
    [
        ("https://cdn.example.net/{accountId}", "https://cdn.example.net/A1"),
        ("/up/{accountId}/", "https://mail.example.com/up/A1/"),
        ("up/{accountId}/", "https://mail.example.com/.well-known/up/A1/"),
        ("//cdn.example.net/{accountId}", "https://cdn.example.net/A1"),
        ("?a={accountId}", "https://mail.example.com/.well-known/jmap?a=A1"),
    ],
)
def test_a_relative_template_is_resolved_against_the_session(template: str, url: str) -> None:
    assert upload_url(template, SESSION, account_id="A1") == url


def test_the_event_source_takes_types_or_all_of_them() -> None:
    template = "https://h/es?types={types}&closeafter={closeafter}&ping={ping}"
    some = event_source_url(template, SESSION, types=["Email", "Mailbox"], close_after="no", ping=30)
    assert dict(URL(some).query) == {"types": "Email,Mailbox", "closeafter": "no", "ping": "30"}
    every = event_source_url(template, SESSION, types=None, close_after="state", ping=0)
    assert dict(URL(every).query) == {"types": "*", "closeafter": "state", "ping": "0"}


@pytest.mark.parametrize(
    ("template", "what"),
    [
        (
            "/d/{accountId}/{name}",
            r"mail.example.com: the session's downloadUrl .* lacks \{blobId\}, \{type\}",
        ),
        ("", r"lacks \{accountId\}, \{blobId\}, \{name\}, \{type\}"),
        ("ftp://h/{accountId}{blobId}{name}{type}", "no URL of HTTP"),
        ("http://h/{accountId}{blobId}{name}{type}", "without TLS"),
    ],
)
def test_a_template_that_cannot_be_used_is_a_clear_error(template: str, what: str) -> None:
    with pytest.raises(ProtocolError, match=what):
        of(template)


def test_without_tls_a_session_may_name_urls_without_tls() -> None:
    assert of("http://127.0.0.1:1/{accountId}{blobId}{name}{type}", "http://127.0.0.1:1/").startswith("http:")
