"""What the SMTP state machine says to users who submit (RFC 6409, 4954, 4616, 3461, 4865, 3207)."""

import base64
import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veredus.formats.smtp import (
    Budget,
    Closed,
    Event,
    Limits,
    Login,
    LoginOffered,
    MessageReceived,
    RecipientOffered,
    Release,
    Reply,
    SenderOffered,
    Session,
    Terms,
    TlsRequested,
)

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
ALICE = Login("alice", "password-1")
WRONG = Reply(535, "5.7.8", "Authentication credentials invalid")


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


GOOD = b64("\0alice\0secret")


class Peer:
    """Says lines to a session, and answers its events: alice, whose password is "secret", sends as alice."""

    def __init__(self, **terms: object) -> None:
        settled: dict[str, object] = {
            "role": "submission",
            "hostname": "mx.example",
            "limits": Limits(),
            "in_flight": Budget(10_000),
            "client": "192.0.2.7",
            "offers_tls": True,
            "release": Release(3600, lambda: NOW),
            **terms,
        }
        self.session = Session(Terms(**settled))  # type: ignore[arg-type]
        self.session.output()
        self.events: list[Event] = []

    def say(self, *lines: str) -> list[str]:
        self.session.receive("".join(f"{line}\r\n" for line in lines).encode())
        return self.hear().decode().splitlines()

    def hear(self) -> bytes:
        while event := self.session.next_event():
            self.events.append(event)
            match event:
                case LoginOffered(user, password):
                    right = (user, password) == ("alice", "secret")
                    self.session.answer_login(ALICE if right else WRONG)
                case SenderOffered(_, address):
                    mine = address in ("", "alice@b.example")
                    self.session.answer_sender(None if mine else Reply(550, "5.7.1", "No"))
                case RecipientOffered():
                    self.session.answer_recipient(None)
                case MessageReceived(envelope):
                    self.session.answer_message([Reply(250, "2.6.0", "OK") for _ in envelope.recipients])
                case TlsRequested():
                    self.session.tls_started()
        return self.session.output()

    def logged_in(self) -> "Peer":
        assert self.say("EHLO x", f"AUTH PLAIN {GOOD}")[-1].startswith("235")
        return self


def codes(lines: list[str]) -> list[str]:
    return [line[:3] for line in lines if line[3] == " "]


def test_a_password_is_asked_for_through_tls_alone() -> None:
    peer = Peer()
    offered = peer.say("EHLO x")
    assert "250-STARTTLS" in offered
    assert not [line for line in offered if "AUTH" in line or "BINARYMIME" in line]
    assert peer.say(f"AUTH PLAIN {GOOD}") == ["538 5.7.11 Passwords are taken through TLS only"]
    assert peer.say("MAIL FROM:<alice@b.example>") == ["530 5.7.0 Send STARTTLS first"]
    peer.say("STARTTLS")
    assert codes(peer.say(f"AUTH PLAIN {GOOD}")) == ["503"]
    assert peer.say("EHLO x")[-3:] == [
        "250-DSN",
        "250-FUTURERELEASE 3600 2026-11-21T04:00:00Z",
        "250 AUTH PLAIN LOGIN",
    ]
    assert peer.say("MAIL FROM:<alice@b.example>") == ["530 5.7.0 Authentication required"]
    assert peer.say(f"AUTH PLAIN {GOOD}") == ["235 2.7.0 Authentication successful"]


@pytest.mark.parametrize("terms", [{"is_private": True}, {"tls": True, "offers_tls": False}])
def test_auth_is_offered_where_nobody_listens(terms: dict[str, bool]) -> None:
    assert "250 AUTH PLAIN LOGIN" in Peer(**terms).say("EHLO x")


def test_tls_forgets_who_has_logged_in() -> None:
    peer = Peer(is_private=True).logged_in()
    peer.say("STARTTLS")
    peer.say("EHLO x")
    assert codes(peer.say("MAIL FROM:<alice@b.example>")) == ["530"]


@pytest.mark.parametrize(
    ("lines", "replies"),
    [
        ([f"AUTH PLAIN {GOOD}"], ["235"]),
        (["auth plain", GOOD], ["334", "235"]),
        ([f"AUTH PLAIN {b64(chr(0).join(('alice', 'alice', 'secret')))}"], ["235"]),
        ([f"AUTH PLAIN {b64(chr(0).join(('bob', 'alice', 'secret')))}"], ["535"]),
        ([f"AUTH PLAIN {b64('alice')}"], ["501"]),
        ([f"AUTH PLAIN {b64(chr(0) + 'alice' + chr(0) + 'guess')}"], ["535"]),
        (["AUTH LOGIN", b64("alice"), b64("secret")], ["334", "334", "235"]),
        ([f"AUTH LOGIN {b64('alice')}", b64("secret")], ["334", "235"]),
        (["AUTH LOGIN =", b64("secret")], ["334", "535"]),
        (["AUTH LOGIN", "*", "NOOP"], ["334", "501", "250"]),
        (["AUTH PLAIN", "*", "NOOP"], ["334", "501", "250"]),
        (["AUTH LOGIN", "not base64", "NOOP"], ["334", "501", "250"]),
        (["AUTH LOGIN", base64.b64encode(b"\xff").decode(), "NOOP"], ["334", "501", "250"]),
        (["AUTH PLAIN", "x" * 3000, "NOOP"], ["334", "500", "250"]),
        (["AUTH PLAIN ="], ["501"]),
        (["AUTH CRAM-MD5"], ["504"]),
        (["AUTH"], ["501"]),
        ([f"AUTH PLAIN {GOOD}", f"AUTH PLAIN {GOOD}"], ["235", "503"]),
        ([f"AUTH PLAIN {GOOD}", "MAIL FROM:<>", f"AUTH PLAIN {GOOD}"], ["235", "250", "503"]),
        ([f"AUTH PLAIN {GOOD}", "EHLO y", "MAIL FROM:<>"], ["235", "250", "250"]),
    ],
)
def test_auth(lines: list[str], replies: list[str]) -> None:
    peer = Peer(is_private=True)
    peer.say("EHLO x")
    assert codes(peer.say(*lines)) == replies


def test_the_challenges_of_login_are_what_clients_know() -> None:
    peer = Peer(is_private=True)
    peer.say("EHLO x")
    assert peer.say("AUTH LOGIN", b64("alice")) == ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"]


def test_auth_needs_ehlo_and_is_of_submission_alone() -> None:
    assert codes(Peer(is_private=True).say("HELO x", f"AUTH PLAIN {GOOD}")) == ["250", "503"]
    assert codes(Peer(role="smtp", is_private=True).say("EHLO x", f"AUTH PLAIN {GOOD}")) == ["250", "500"]


def test_a_connection_may_guess_three_times() -> None:
    peer = Peer(is_private=True)
    peer.say("EHLO x")
    wrong = f"AUTH PLAIN {b64(chr(0) + 'alice' + chr(0) + 'guess')}"
    assert codes(peer.say(*[wrong] * 3, f"AUTH PLAIN {GOOD}")) == ["535", "535", "535", "421"]
    assert peer.events[-1] == Closed("limit")


def test_no_password_is_shown_by_an_event() -> None:
    assert "secret" not in repr(LoginOffered("alice", "secret"))


def test_a_refused_sender_leaves_no_transaction() -> None:
    peer = Peer(is_private=True).logged_in()
    lines = peer.say("MAIL FROM:<bob@b.example>", "RCPT TO:<c@c.example>", "MAIL FROM:<alice@b.example>")
    assert codes(lines) == ["550", "503", "250"]


@pytest.mark.parametrize(
    ("parameter", "kept"),
    [
        ("RET=hdrs", {"RET": "HDRS"}),
        ("ENVID=a+2Bb+3D", {"ENVID": "a+b="}),
        ("HOLDFOR=3600", {"HOLDFOR": "3600"}),
        ("HOLDUNTIL=2026-11-21T05:00:00+01:00", {"HOLDUNTIL": "2026-11-21T05:00:00+01:00"}),
        ("HOLDUNTIL=2020-01-01t00:00:00z", {"HOLDUNTIL": "2020-01-01T00:00:00Z"}),
        ("AUTH=<>", {}),
        ("AUTH=bob+40b.example", {}),
        ("SIZE=10 BODY=8BITMIME SMTPUTF8", {}),
        ("RET=SOME", None),
        ("RET", None),
        ("ENVID=" + "a" * 101, None),
        ("ENVID=a+2b", None),
        ("ENVID=a+0D+0A", None),
        ("ENVID=+FF", None),
        ("HOLDFOR=3601", None),
        ("HOLDFOR=0", None),
        ("HOLDFOR=-1", None),
        ("HOLDFOR=1000000000", None),
        ("HOLDFOR=1 HOLDUNTIL=2026-11-21T03:10:00Z", None),
        ("HOLDUNTIL=2026-11-21T04:00:01Z", None),
        ("HOLDUNTIL=2026-02-30T04:00:00Z", None),
        ("HOLDUNTIL=tomorrow", None),
        ("HOLDUNTIL=0001-01-01T00:00:00+23:59", None),
        ("AUTH", None),
    ],
)
def test_parameters_of_mail(parameter: str, kept: dict[str, str] | None) -> None:
    peer = Peer(is_private=True).logged_in()
    [reply] = peer.say(f"MAIL FROM:<alice@b.example> {parameter}")
    assert reply.startswith("501 5.5.4" if kept is None else "250")
    if kept is not None:
        peer.say("RCPT TO:<c@c.example>", "DATA", ".")
        event = peer.events[-1]
        assert isinstance(event, MessageReceived)
        assert event.envelope.wishes is not None
        assert (event.envelope.wishes.login, event.envelope.wishes.parameters) == (ALICE, kept)


def test_nothing_is_held_where_futurerelease_is_not_offered() -> None:
    peer = Peer(is_private=True, release=None).logged_in()
    assert not [line for line in peer.say("EHLO x") if "FUTURERELEASE" in line]
    assert codes(peer.say("MAIL FROM:<alice@b.example> HOLDFOR=1")) == ["555"]
    assert codes(peer.say("MAIL FROM:<alice@b.example> BODY=BINARYMIME")) == ["555"]


@pytest.mark.parametrize(
    ("parameter", "kept"),
    [
        ("NOTIFY=success,Failure", {"NOTIFY": "SUCCESS,FAILURE"}),
        ("NOTIFY=NEVER", {"NOTIFY": "NEVER"}),
        ("ORCPT=rfc822;d+2Be@d.example", {"ORCPT": "rfc822;d+e@d.example"}),
        ("NOTIFY=NEVER,DELAY", None),
        ("NOTIFY=DELAY,DELAY", None),
        ("NOTIFY=", None),
        ("NOTIFY", None),
        ("ORCPT=d@d.example", None),
        ("ORCPT=rfc822;", None),
        ("ORCPT=rfc822;" + "a" * 500, None),
    ],
)
def test_parameters_of_rcpt(parameter: str, kept: dict[str, str] | None) -> None:
    peer = Peer(is_private=True).logged_in()
    peer.say("MAIL FROM:<alice@b.example>", "RCPT TO:<first@c.example>")
    [reply] = peer.say(f"RCPT TO:<c@c.example> {parameter}")
    assert reply.startswith("501" if kept is None else "250")
    if kept is not None:
        peer.say("DATA", ".")
        event = peer.events[-1]
        assert isinstance(event, MessageReceived)
        assert event.envelope.wishes is not None
        assert event.envelope.wishes.of_recipients == ({}, kept)
        assert event.envelope.protocol == "ESMTPA"


def test_who_receives_for_others_knows_no_wishes() -> None:
    peer = Peer(role="smtp")
    assert codes(peer.say("EHLO x", "MAIL FROM:<a@b.example> RET=FULL")) == ["250", "555"]
    peer.say("MAIL FROM:<a@b.example>", "RCPT TO:<c@c.example>", "DATA", ".")
    event = peer.events[-1]
    assert isinstance(event, MessageReceived)
    assert event.envelope.wishes is None


LINES = [
    b"EHLO x",
    b"STARTTLS",
    b"AUTH PLAIN",
    b"AUTH LOGIN",
    b"AUTH LOGIN " + b64("alice").encode(),
    b"AUTH PLAIN " + GOOD.encode(),
    b64("alice").encode(),
    b64("secret").encode(),
    b"*",
    b"MAIL FROM:<alice@b.example> RET=FULL HOLDFOR=5",
    b"MAIL FROM:<bob@b.example>",
    b"MAIL FROM:<>",
    b"RCPT TO:<c@c.example> NOTIFY=DELAY",
    b"DATA",
    b".",
    b"BDAT 3 LAST",
    b"RSET",
    b"text" * 9,
    b"",
]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from(LINES) | st.binary(max_size=9), max_size=30).map(b"\r\n".join),
    st.lists(st.integers(0, 10_000), max_size=20),
    st.booleans(),
)
def test_how_a_stream_is_cut_makes_no_difference(data: bytes, places: list[int], with_login: bool) -> None:
    head = b"EHLO x\r\n" + (b"AUTH PLAIN " + GOOD.encode() + b"\r\n" if with_login else b"")
    # What was received behind STARTTLS in the clear is dropped, however much of it had come: the edge's part.
    data = head + data.replace(b"STARTTLS", b"NOOP")
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    results = []
    for pieces in (
        [data],
        [data[a:b] for a, b in itertools.pairwise(edges)],
        [bytes([o]) for o in data],
    ):
        limits = Limits(message_size=60, command_line=90, bad_commands=6, junk_commands=20)
        peer = Peer(is_private=True, limits=limits)
        output = b""
        for piece in pieces:
            peer.session.receive(piece)
            output += peer.hear()
        results.append((peer.events, output))
    assert results[1] == results[0]
    assert results[2] == results[0]
