"""`veredus dns`: what DNS should say of a domain, and what a DNS server on loopback says."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.running import Runner
from sending.dns_server import DnsServer, dns_server


@contextmanager
def _in_thread() -> Iterator[DnsServer]:
    """Commands run event loops of their own, so that the server needs another thread."""
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    ready = threading.Event()
    made: list[DnsServer] = []

    async def serve() -> None:
        async with dns_server() as server:
            made.append(server)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield made[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[DnsServer]:
    monkeypatch.setenv("VEREDUS__HOSTNAME", "mail.example.com")
    with _in_thread() as server:
        monkeypatch.setenv("VEREDUS__DNS__SERVERS", f'["{server.address}"]')
        yield server


def publish(run: Runner, server: DnsServer) -> None:
    for record in run("dns", "records", "example.com", "--json").json["records"]:
        server.remove(record["name"], record["type"])
        if record["type"] == "TXT":
            server.txt(record["name"], record["value"])
        else:
            server.add(record["name"], record["type"], record["value"])


def test_a_domain_is_published_checked_and_given_new_keys(run: Runner, server: DnsServer) -> None:
    run("domain", "add", "example.com")
    nothing = run("dns", "check", "example.com")
    assert nothing.code == 3
    assert "problem  MX: there is none - add example.com. 3600 IN MX 10 mail.example.com.\n" in nothing.out
    assert "_domainkey.example.com. 3600 IN TXT ( " in nothing.out
    publish(run, server)
    server.add("mail.example.com", "A", "192.0.2.1")
    server.add("1.2.0.192.in-addr.arpa", "PTR", "mail.example.com.")
    good = run("dns", "check", "example.com", "--json")
    assert (good.code, {one["level"] for one in good.json}) == (0, {"ok"})

    run("domain", "rotate", "example.com")
    early = run("domain", "rotate", "example.com")
    assert early.code == 1
    assert "DNS does not have " in early.err
    assert "--now" in early.err
    publish(run, server)
    assert (
        "published; `veredus domain rotate example.com` signs with it"
        in run("dns", "check", "example.com").out
    )
    assert "is signed with" in run("domain", "rotate", "example.com").out
    assert "retired; leave its record until 2" in run("dns", "check", "example.com").out
    records = run("dns", "records", "example.com").out
    assert records.count("; Leave 2") == 2
    assert records.count("the key that signs") == 2


def test_addresses_that_mail_is_sent_from_are_checked(run: Runner, server: DnsServer) -> None:
    run("domain", "add", "example.com")
    publish(run, server)
    out = run("dns", "check", "example.com", "--address", "192.0.2.9", "--address", "2001:db8::1").out
    assert "problem  PTR 192.0.2.9: the address has no name - " in out
    assert "problem  PTR 2001:db8::1: " in out
    assert run("dns", "check", "example.com", "--address", "x").code == 2


def test_records_are_shown_for_zone_files_and_for_forms(
    run: Runner, server: DnsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VEREDUS__SUBMISSION__TLS_LISTEN", '["127.0.0.1:465"]')
    monkeypatch.setenv("VEREDUS__TLS__MODE", "files")
    for name in ("cert", "key"):
        monkeypatch.setenv(f"VEREDUS__TLS__{name.upper()}", str(tmp_path / name))
    monkeypatch.setenv("VEREDUS__HTTP__PUBLIC_URL", "https://jmap.example.com")
    monkeypatch.setenv("VEREDUS__OUTGOING__URL", "smtp://relay.example.net:587")
    run("domain", "add", "example.com")
    zone = run("dns", "records", "example.com").out
    assert "_submissions._tcp.example.com. 3600 IN SRV 0 1 465 mail.example.com." in zone
    assert "_jmap._tcp.example.com. 3600 IN SRV 0 1 443 jmap.example.com." in zone
    assert 'example.com. 3600 IN TXT "v=spf1 mx a:relay.example.net ~all"' in zone
    assert ";   version: STSv1\n" in zone
    assert all(line.startswith((";", "example.com.")) or " 3600 IN " in line for line in zone.splitlines())
    plain = run("dns", "records", "example.com", "--plain").out
    assert "example.com  MX\n10 mail.example.com.\n" in plain
    assert '" "' not in plain


def test_a_host_without_a_name_and_a_silent_server_are_said(
    run: Runner, server: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("domain", "add", "example.com")
    server.broken |= {"example.com", "mail.example.com"}
    out = run("dns", "check", "example.com").out
    assert "no server could answer - try again, or ask another resolver with dns.servers" in out
    monkeypatch.setenv("VEREDUS__HOSTNAME", "localhost")
    failed = run("dns", "records", "example.com")
    assert (failed.code, 'hostname is "localhost"' in failed.err) == (2, True)
    assert run("dns", "check", "example.org").code == 2
