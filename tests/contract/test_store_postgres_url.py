"""URLs of databases: what may stand in them, and what is told of them."""

import pytest

from veredus.config.checks import postgres_url
from veredus.store.postgres.database import hosts_of, place_of


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://u@a:5432,b:5433/db?target_session_attrs=read-write", "a:5432,b:5433/db"),
        ("postgres://u:p%40%2F@db.example.com/x?sslmode=verify-full", "db.example.com:5432/x"),
        ("postgresql://u:s3cret@[2001:db8::1]:6000,[2001:db8::2]/db", "2001:db8::1:6000,2001:db8::2:5432/db"),
        ("postgresql:///db?host=/run/pg,/run/other&port=1,2", "/run/pg:1,/run/other:2/db"),
        ("postgresql://%2Frun%2Fpg/db", "/run/pg:5432/db"),
        ("postgresql:///db", "localhost:5432/db"),
    ],
)
def test_hosts_are_told_without_credentials(url: str, place: str) -> None:
    assert postgres_url(url) is None
    assert place_of(url) == place


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:s3@cret@h/db",
        "postgresql://u:12/s3cret@h/db",
        "postgresql://u:12#s3cret@h/db",
        "postgresql://u:12?s3cret@h/db",
        "postgresql://h:0/db",
        "postgresql://h:65536/db",
        "postgresql://a:5432,b:x/db",
        "postgresql://a,/db",
        "postgresql://[zz]/db",
        "postgresql:h/db",
        "mysql://h/db",
    ],
)
def test_a_url_that_would_be_misread_is_refused_without_being_repeated(url: str) -> None:
    """A password with @ or / in it would become part of the host, and of messages."""
    problem = postgres_url(url)
    assert problem is not None
    assert "s3" not in problem
    assert "cret" not in problem


def test_each_host_has_its_port() -> None:
    assert hosts_of("postgresql://a,b:1/db?port=7") == [("a", 7), ("b", 1)]
