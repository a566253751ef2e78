"""What a host is told beyond the addresses: SIZE, 8BITMIME, SMTPUTF8, DSN (RFC 1870, 6152, 6531, 3461)."""

from collections.abc import Mapping

import pytest

from sending.peer import on, peer
from sending.relays import parcel, relaying
from veredus.ports import Address, Fate

HOST = "127.0.0.1"
ANN = "ann@example.org"
ONLY_8BIT = ("PIPELINING", "8BITMIME")


async def test_what_the_host_understands_is_said() -> None:
    sender = Address(
        "me@veredus.example",
        {"RET": "HDRS", "ENVID": "a+b=c d", "HOLDFOR": "60", "BY": "120;R", "SIZE": "1", "BODY": "7BIT"},
    )
    recipient = Address(
        ANN, {"notify": "SUCCESS,FAILURE", "ORCPT": "rfc822;a+nn@example.org", "HOLDUNTIL": "x"}
    )
    async with peer() as smtp, relaying(smtp.url) as relay:
        await relay.send(HOST, parcel(recipient, sender=sender, data=b"Subject: x\r\n\r\n\xc3\xa9\r\n"))
    [message] = smtp.messages
    assert message.parameters == "SIZE=18 BODY=8BITMIME RET=HDRS ENVID=a+2Bb+3Dc+20d"
    assert message.recipient_parameters == ["NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a+2Bnn@example.org"]


async def test_what_the_host_does_not_understand_is_left_out() -> None:
    sender = Address("me@veredus.example", {"RET": "FULL"})
    eight_bit = b"Subject: x\r\n\r\n\xc3\xa9\r\n"
    async with peer(extensions=()) as smtp, relaying(smtp.url) as relay:
        fates = await relay.send(
            HOST, parcel(Address(ANN, {"NOTIFY": "NEVER"}), sender=sender, data=eight_bit)
        )
    assert fates[ANN].kind == "relayed"
    [message] = smtp.messages
    assert (message.parameters, message.recipient_parameters, message.data) == ("", [""], eight_bit)


@pytest.mark.parametrize(
    "parameters",
    [{"RET": "FULL X=Y"}, {"RET": None}, {"ENVID": ""}, {"RET": "A\r\nQUIT"}, {"ENVID": "x\r\nQUIT"}],
)
async def test_a_parameter_is_one_word(parameters: Mapping[str, str | None]) -> None:
    async with peer() as smtp, relaying(smtp.url) as relay:
        await relay.send(HOST, parcel(sender=Address("me@veredus.example", parameters)))
    assert smtp.messages[0].parameters in ("SIZE=51", "SIZE=51 ENVID=x+0D+0AQUIT")


async def test_a_message_larger_than_the_host_takes_is_not_sent() -> None:
    async with peer(extensions=["PIPELINING", "SIZE 100"]) as smtp, relaying(smtp.url) as relay:
        fates = await relay.send(HOST, parcel(data=b"x" * 98 + b"\r\n"))
        assert fates[ANN].kind == "relayed"
        fates = await relay.send(HOST, parcel(data=b"x" * 99 + b"\r\n"))
    assert fates[ANN] == Fate("failed", "552 5.3.4 The message has 101 octets, the host takes 100")
    assert smtp.mails == 1


@pytest.mark.parametrize("size", ["0", "", "many", "9" * 400, "²"])
async def test_a_limit_that_is_none_or_nonsense_is_none(size: str) -> None:
    async with peer(extensions=["PIPELINING", f"SIZE {size}"]) as smtp, relaying(smtp.url) as relay:
        assert (await relay.send(HOST, parcel()))[ANN].kind == "relayed"


UTF8_HEADER = "Subject: Grüße\r\n\r\nx\r\n".encode()


@pytest.mark.parametrize(
    ("recipient", "sender", "data", "expected"),
    [
        ("é@example.org", "me@veredus.example", b"\r\nx\r\n", "é@example.org"),
        (ANN, "ü@veredus.example", b"\r\nx\r\n", ANN),
        (ANN, "me@veredus.example", UTF8_HEADER, ANN),
    ],
    ids=["recipient", "sender", "header"],
)
async def test_utf8_is_for_hosts_that_take_it(
    recipient: str, sender: str, data: bytes, expected: str
) -> None:
    message = parcel(recipient, sender=sender, data=data)
    async with peer() as smtp, relaying(smtp.url) as relay:
        assert (await relay.send(HOST, message))[recipient].kind == "relayed"
        assert (smtp.messages[0].recipients, smtp.messages[0].sender) == ([expected], sender)
        assert smtp.messages[0].parameters.endswith("SMTPUTF8")
    async with peer(extensions=ONLY_8BIT) as smtp, relaying(smtp.url) as relay:
        fate = (await relay.send(HOST, message))[recipient]
        assert (fate.kind, fate.reply[:9]) == ("failed", "550 5.6.7")
        assert smtp.mails == 0


async def test_one_recipient_in_utf8_does_not_hurt_the_others() -> None:
    async with peer(extensions=ONLY_8BIT) as smtp, relaying(smtp.url) as relay:
        fates = await relay.send(HOST, parcel(ANN, "é@example.org"))
    assert {it: fate.kind for it, fate in fates.items()} == {ANN: "relayed", "é@example.org": "failed"}
    assert [it.recipients for it in smtp.messages] == [[ANN]]


async def test_a_domain_beyond_ascii_and_an_old_header_need_no_smtputf8() -> None:
    message = parcel("ann@FAß.example", sender="me@пример.example", data=b"Subject: Gr\xfc\xdfe\r\n\r\nx\r\n")
    async with peer(extensions=ONLY_8BIT) as smtp, relaying(smtp.url) as relay:
        assert (await relay.send(HOST, message))["ann@FAß.example"].kind == "relayed"
    assert smtp.messages[0].recipients == ["ann@xn--fa-hia.example"]
    assert smtp.messages[0].sender == "me@xn--e1afmkfd.example"


@pytest.mark.parametrize(
    "address", ["a\r\nQUIT@example.org", "a\n@example.org", "a\x00@example.org", "a@\x85.org"]
)
async def test_an_address_cannot_be_a_command(address: str) -> None:
    async with peer() as smtp, relaying(smtp.url) as relay:
        fates = await relay.send(HOST, parcel(address, ANN))
        assert (fates[address].kind, fates[ANN].kind) == ("failed", "relayed")
        fates = await relay.send(HOST, parcel(sender=address))
        assert fates[ANN].kind == "failed"
    assert smtp.messages[0].recipients == [ANN]


async def test_the_null_path_has_no_name() -> None:
    async with peer() as smtp, relaying(smtp.url) as relay:
        await relay.send(HOST, parcel("Ann@EXAMPLE.org", sender=""))
    assert (smtp.messages[0].sender, smtp.messages[0].recipients) == ("<>", ["Ann@EXAMPLE.org"])


async def test_the_same_recipient_twice_gets_it_once() -> None:
    async with peer() as smtp, relaying(smtp.url) as relay:
        await relay.send(HOST, parcel(ANN, ANN))
    assert smtp.messages[0].recipients == [ANN]


async def test_a_host_that_takes_no_parameter_says_so() -> None:
    async with peer(on("MAIL", "555 5.5.4 what is SIZE?")) as smtp, relaying(smtp.url) as relay:
        assert (await relay.send(HOST, parcel()))[ANN].kind == "failed"
