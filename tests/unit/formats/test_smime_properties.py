"""Whatever comes as S/MIME, there is a verdict; and what was changed is never verified."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import smime_peer as peer
from smime_peer import CONTENT, Cms, authority, clear, opaque, signer
from veredus.formats import cms, smime
from veredus.formats.mime.message import parse
from veredus.formats.smime_trust import Trust

NOW = datetime(2026, 11, 21, tzinfo=UTC)
TRUST = Trust([authority().certificate])
# One of each: lengths of both forms, attributes or none, keys of three kinds.
MADE = [
    Cms(by=signer("rsa"), scheme="pss", is_detached=False).encoded(),
    Cms(by=signer("ec"), is_detached=False, by_key_id=True).encoded(),
    Cms(by=signer("ed25519"), digest="sha512", is_detached=False, has_attributes=False).encoded(),
]


def verdict(message: bytes) -> smime.Verdict:
    examined = smime.examine(parse(message))
    examined.changes_at(TRUST, NOW)
    return examined.verdict(TRUST, NOW)


def edits(size: int) -> st.SearchStrategy[list[tuple[int, int, bytes]]]:
    """Up to three (place, octets to take out, octets to put in)."""
    return st.lists(
        st.tuples(st.integers(0, size), st.integers(0, 3), st.binary(max_size=3)), min_size=1, max_size=3
    )


def edited(data: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    for place, less, more in changes:
        data = data[:place] + more + data[place + less :]
    return data


@pytest.mark.parametrize("made", MADE, ids=["rsa", "ec", "ed25519"])
def test_mutilated_signatures_get_a_verdict(made: bytes) -> None:
    @settings(max_examples=150, deadline=None)
    @given(edits(len(made)))
    def check(changes: list[tuple[int, int, bytes]]) -> None:
        found = verdict(opaque(edited(made, changes)))
        assert found.status in ("signed/verified", "signed/failed", "unknown", None)
        assert bool(found.errors) == (found.status == "signed/failed")

    check()


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_any_octets_are_signed_data_or_an_error(data: bytes) -> None:
    for octets in (data, peer.tlv(0x30, peer.oid(peer.SIGNED_DATA), peer.tlv(0xA0, data))):
        try:
            cms.signed_data(octets)
        except cms.CMSError:
            continue


@settings(max_examples=150, deadline=None)
@given(edits(len(CONTENT)))
def test_a_changed_content_is_never_verified(changes: list[tuple[int, int, bytes]]) -> None:
    content = edited(CONTENT, changes)
    if content.replace(b"\r\n", b"\n") != CONTENT.replace(b"\r\n", b"\n"):
        assert verdict(clear(Cms(by=signer("ec")).encoded(), content)).status != "signed/verified"


@pytest.mark.parametrize(
    "bomb",
    [
        b"\x30\x80" * 100_000,
        peer.tlv(0x30, b"\x05\x00" * 1_000_000),
        peer.tlv(0x30, peer.oid(peer.SIGNED_DATA), b"\xa0\x80" + b"\x24\x80" * 50_000),
        b"\x30\x88" + b"\xff" * 8,
        b"\x30\xff" + b"\xff" * 127,
        peer.tlv(0x30, peer.tlv(0x06, b"\xff" * 1_000_000)),
    ],
    ids=["nested", "wide", "nested strings", "long", "length of lengths", "identifier"],
)
def test_a_bomb_costs_little(bomb: bytes) -> None:
    with pytest.raises(cms.CMSError):
        cms.signed_data(bomb)
