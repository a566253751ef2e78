"""Replies as they are sent (RFC 5321 §4.2), and the trace fields before a message (§4.4)."""

from datetime import UTC, datetime

from veredus.formats.smtp import Envelope, Reply, trace_headers


def test_a_reply_cannot_be_broken_out_of() -> None:
    assert Reply(550, "5.1.1", "a\r\nb\x00").encode() == b"550-5.1.1 a \r\n550 5.1.1 b \r\n"
    assert Reply(550, "5.1.1", "ü" * 9999).encode() == b"550 5.1.1 " + b"?" * 480 + b"\r\n"


ENVELOPE = Envelope("a@example.org", ("b@example.com",), "192.0.2.1", "client.example", "LMTP")
DATE = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)


def test_trace_fields() -> None:
    assert trace_headers(ENVELOPE, "mx.example", "77", DATE, "b@example.com") == (
        b"Return-Path: <a@example.org>\r\n"
        b"Received: from client.example ([192.0.2.1])\r\n"
        b"\tby mx.example with LMTP id 77\r\n"
        b"\tfor <b@example.com>;\r\n"
        b"\tSat, 21 Nov 2026 03:00:00 +0000\r\n"
    )


def test_trace_fields_hold_no_syntax_of_the_client() -> None:
    envelope = Envelope("", (), "2001:db8::1", "x(by;evil)", "ESMTP")
    fields = trace_headers(envelope, "mx.example", "77", DATE, None)
    assert b"Return-Path: <>\r\n" in fields
    assert b"from x?by?evil? ([IPv6:2001:db8::1])\r\n\tby mx.example with ESMTP id 77;\r\n" in fields
    assert b"from x\r\n\tby" in trace_headers(
        Envelope("", (), "", "x", "LMTP"), "mx.example", "1", DATE, None
    )
