"""No push URL leads to an address that is not public, however it is spelled and whatever its name resolves to."""

import ssl
from collections.abc import AsyncIterator

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from push.peers import sink
from veredus.push.web.connector import guarded
from veredus.push.web.target import Blocked, Guard

PUBLIC = (
    "8.8.8.8",
    "93.184.215.14",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
)
NOT_PUBLIC = (
    "127.0.0.1",
    "127.8.7.6",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "255.255.255.255",
    "224.0.0.1",
    "239.1.2.3",
    "240.0.0.1",
    "192.0.2.1",
    "198.18.0.1",
    "203.0.113.9",
    "192.0.0.8",
    "192.0.0.9",
    "192.88.99.1",
    "168.63.129.16",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "ff0e::1",
    "fec0::1",
    "2001:db8::1",
    "3fff::1",
    "2002:a83f:8110::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "2001:0:808:808:0:0:f5ff:fffe",
    "4000::1",
    "not an address",
    "",
)


@pytest.fixture
async def guard() -> AsyncIterator[Guard]:
    guard = Guard()
    yield guard
    guard.close()


@pytest.mark.parametrize("address", PUBLIC)
async def test_public_addresses_are_permitted(guard: Guard, address: str) -> None:
    assert guard.permits(address, plain=False)
    assert not guard.permits(address, plain=True)


@pytest.mark.parametrize("address", NOT_PUBLIC)
async def test_other_addresses_are_not(guard: Guard, address: str) -> None:
    assert not guard.permits(address, plain=False)


async def test_networks_of_the_configuration_are_permitted_in_every_spelling_and_nothing_beside_them() -> (
    None
):
    guard = Guard(["10.1.0.0/16", "fd00:1::/32"])
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "fd00:1::5"):
        assert guard.permits(address, plain=False)
        assert guard.permits(address, plain=True)
    # 6to4 around a permitted address is not the permitted address.
    for address in ("10.2.0.1", "127.0.0.1", "fd00:2::5", "::ffff:10.2.0.1", "2002:a01:203::1"):
        assert not guard.permits(address, plain=False)


@pytest.mark.parametrize(
    "url",
    [
        "https://push.example/send/abc?x=%20y&z=1",
        "https://push.example:8443/",
        "https://push.example",
        "https://PUSH.example./",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]:4433/",
        "https://_dmarc.xn--bcher-kva.example/",
        "https://push.example/a%2Fb~'()*!;:@$+,=",
    ],
)
async def test_a_url_is_permitted_and_keeps_its_spelling(guard: Guard, url: str) -> None:
    assert str(guard.check_url(url)).startswith(url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://push.example/", "must begin with https"),
        ("HTTPS://push.example/", "must begin with https"),
        ("ftp://push.example/", "must begin with https"),
        ("//push.example/", "must begin with https"),
        ("", "must begin with https"),
        ("https://", "malformed|no host"),
        ("https:///path", "malformed|no host"),
        ("https://user@push.example/", "must not name a user"),
        ("https://user:password@push.example/", "must not name a user"),
        ("https://:@push.example/", "must not name a user"),
        ("https://push.example:0/", "port 0"),
        ("https://push.example:25/", "port 25"),
        ("https://push.example:99999/", "malformed|port"),
        ("https://push.example:x/", "malformed"),
        ("https://push.example/a b", "characters"),
        ("https://push.example/\r\nHost: a", "characters"),
        ("https://push.example/\n", "characters"),
        ("https://push.example\\@127.0.0.1/", "characters"),
        ("https://bücher.example/", "characters"),
        ("https://a..b/", "no host"),
        ("https://" + "a" * 64 + ".example/", "no host"),
        ("https://" + "a." * 130 + "example/", "no host"),
        ("https://127.0.0.1/", "no public network"),
        ("https://2130706433/", "no public network"),
        ("https://127.1/", "no public network"),
        ("https://0177.0.0.1/", "no public network"),
        ("https://[::1]/", "no public network"),
        ("https://[::ffff:127.0.0.1]/", "no public network"),
        ("https://[fe80::1%25eth0]/", "malformed|no public network"),
        ("https://[::1/", "malformed"),
        ("https://[::1]a/", "malformed"),
        ("https://Z0[]-]%]/", "malformed"),
        ("https://push.example:/", "malformed"),
        ("https://push.example:443:443/", "malformed"),
        ("https://[x:@]:443/", "must not name a user"),
    ],
)
async def test_a_url_is_refused_with_a_reason(guard: Guard, url: str, reason: str) -> None:
    with pytest.raises(Blocked, match=reason):
        guard.check_url(url)


@given(st.text("aZ0-._%:@[]/?#&=xn'\\ ", max_size=24), st.sampled_from(["https://", "http://", "https:/"]))
def test_whatever_a_url_is_it_is_permitted_or_refused(rest: str, scheme: str) -> None:
    try:
        parsed = Guard(["127.0.0.0/8"]).check_url(scheme + rest)
    except Blocked:
        return
    # Where a message goes is what stands between the slashes, whoever reads it.
    authority = (scheme + rest).partition("//")[2].partition("/")[0].partition("?")[0].partition("#")[0]
    assert authority.lower().removesuffix(f":{parsed.port}") == f"{parsed.host_subcomponent}".lower()


async def test_plain_http_is_for_permitted_networks_alone() -> None:
    guard = Guard(["10.1.0.0/16"], lookup=_always("10.1.0.9", "8.8.8.8"))
    assert guard.check_url("http://10.1.2.3:8000/a").scheme == "http"
    with pytest.raises(Blocked, match="no public network"):
        guard.check_url("http://8.8.8.8/")
    assert guard.check_url("http://hook.internal/").scheme == "http"
    assert await guard.resolve("hook.internal", plain=True) == ["10.1.0.9"]
    assert await guard.resolve("hook.internal", plain=False) == ["10.1.0.9", "8.8.8.8"]


def _always(*addresses: str):
    async def lookup(host: str) -> list[str]:
        return list(addresses)

    return lookup


async def test_of_a_names_addresses_only_the_permitted_are_left() -> None:
    guard = Guard(lookup=_always("10.0.0.1", "8.8.8.8", "::1"))
    assert await guard.resolve("mixed.example", plain=False) == ["8.8.8.8"]
    with pytest.raises(Blocked, match=r"inner\.example is in no public network"):
        await Guard(lookup=_always("10.0.0.1", "::1")).resolve("inner.example", plain=False)


async def test_the_systems_resolver_does_not_talk_a_spelling_of_loopback_into_permission(
    guard: Guard,
) -> None:
    """What looks like a name may be an address to getaddrinfo."""
    for host in ("localhost", "0x7f000001", "0x7f.1"):
        with pytest.raises((Blocked, OSError)):
            await guard.resolve(host, plain=False)


async def test_the_socket_asks_too_where_no_resolver_is_asked(guard: Guard) -> None:
    async with sink("127.0.0.1", None) as private:
        connector = guarded(guard, plain=True, tls=ssl.create_default_context(), limit=1, limit_per_host=1)
        async with aiohttp.ClientSession(connector=connector) as session:
            with pytest.raises(aiohttp.ClientConnectorError, match="no public network"):
                await session.get(f"http://127.0.0.1:{private.port}/")
        assert private.connections == 0


def test_a_network_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        Guard(["10.0.0.0/99"])
