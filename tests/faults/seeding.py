"""Real and hostile mail for an account, by LMTP and by Email/import."""

import random
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from email.policy import SMTP

from corpus.mail_corpus import CORPUS, crlf, messages
from e2e.clients import HttpJmap, MailClient, Refused

_HEAD = (
    "From: Zoë <zoe@example.org>\r\nTo: alice@example.com\r\nMessage-ID: <{id}@seed>\r\nMIME-Version: 1.0\r\n"
)
_SIZES = (0, 1, 4_000, 12_000, 131_072, 131_073, 700_000)
_CHARSETS = ("iso-8859-1", "koi8-r", "iso-2022-jp", "gb18030", "x-unknown", "utf-7", "")
_MIB = 1024 * 1024

Kind = Callable[[random.Random, str], bytes]


def _fields(id: str, *fields: str) -> bytes:
    return (_HEAD.format(id=id) + "".join(f"{field}\r\n" for field in fields)).encode(
        "utf-8", "surrogateescape"
    )


def alternatives(chance: random.Random, id: str) -> bytes:
    """text/plain and text/html, with attachments of various sizes, often the same octets twice."""
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Message-ID"] = (
        "Zoe <zoe@example.org>",
        "alice@example.com",
        f"<{id}@seed>",
    )
    message["Subject"] = f"Grüße {id} \N{PARTY POPPER}"
    message.set_content(f"Some words {id}.\nÄnderung\n")
    message.add_alternative(f"<p>Some words <b>{id}</b></p>\n", subtype="html")
    for number in range(chance.randint(0, 3)):
        data = chance.randbytes(64) * (chance.choice(_SIZES) // 64 + 1)
        message.add_attachment(
            data, maintype="application", subtype="octet-stream", filename=f"a{number}.bin"
        )
    if chance.random() < 0.3:
        message.add_attachment(
            b"always the same\n" * 500, maintype="image", subtype="png", filename="logo.png"
        )
    return message.as_bytes()


def plain(chance: random.Random, id: str) -> bytes:
    """A short text, as most mail is."""
    words = " ".join(chance.choices(("lorem", "ipsum", "dolor", "sit", "amet"), k=chance.randint(1, 300)))
    return (
        _fields(id, f"Subject: plain {id}", "Content-Type: text/plain; charset=utf-8")
        + f"\r\n{words}\r\n".encode()
    )


def injected(chance: random.Random, id: str) -> bytes:
    """Subjects that try to be header fields of their own, folded, encoded, or with NUL in them."""
    attack = chance.choice(
        (
            "=?utf-8?q?innocent=0D=0ANats-Msg-Id:_stolen?=",
            "=?utf-8?q?innocent=0ANats-Rollup:_all=0A=0Abody?=",
            "=?utf-8?b?" + "YQ0KSm1hcC1BY2NvdW50LUlkOiBvdGhlcg==" + "?=",
            "folded\r\n over\r\n\tthree lines",
            "=?utf-8?q?nul=00_and_bell=07?=",
        )
    )
    name = '"=?utf-8?q?x=0D=0AJmap-Size=3A_1?=" <mallory@example.org>'
    return _fields(id, f"Subject: {attack}", f"Cc: {name}") + b"\r\ninjected\r\n"


def eight_bit(chance: random.Random, id: str) -> bytes:
    """Octets over 127 in header fields, UTF-8 or not."""
    subject = chance.choice(
        ("Grüße aus Köln".encode(), "Gr\xfc\xdfe".encode("latin-1"), b"\xff\xfe\x80 no text")
    )
    return _fields(id) + b"Subject: " + subject + b"\r\nContent-Type: text/plain\r\n\r\nb\xf6dy\r\n"


def odd_charset(chance: random.Random, id: str) -> bytes:
    """A body in a charset that is rare, unknown, or not the one that it says."""
    charset = chance.choice(_CHARSETS)
    return (
        _fields(id, f"Subject: {charset or 'none'}", f'Content-Type: text/plain; charset="{charset}"')
        + b'\r\n\xe4\xf6\xfc \x1b$B$"$$\x1b(B +AGEAYg- \xd0\xd2\r\n'
    )


def empty_parts(chance: random.Random, id: str) -> bytes:
    """A multipart with parts of no octets, one without a header, and perhaps no end."""
    parts = "--b\r\nContent-Type: text/plain\r\n\r\n\r\n--b\r\n\r\n\r\n--b\r\nContent-Type: application/pdf\r\n\r\n\r\n"
    end = "--b--\r\n" if chance.random() < 0.5 else ""
    return (
        _fields(id, "Subject: nothing", 'Content-Type: multipart/mixed; boundary="b"')
        + f"\r\n{parts}{end}".encode()
    )


def big_header(chance: random.Random, id: str) -> bytes:
    """2 MB of header fields: more than NATS takes as a message, were they sent."""
    references = "".join(f"\r\n <{number}-{'r' * 60}@example.org>" for number in range(14_000))
    return _fields(id, "Subject: " + "long " * 200_000, f"References:{references}") + b"\r\nbig\r\n"


def from_corpus(chance: random.Random, id: str) -> bytes:
    """Real mail."""
    if not _corpus:
        _corpus.extend(_small_mail())
    return chance.choice(_corpus)


_corpus: list[bytes] = []


def _small_mail() -> Iterator[bytes]:
    for path, data in messages():
        if path.startswith("mail/") and len(data) < 300_000:
            yield crlf(data)


KINDS: dict[str, tuple[int, Kind]] = {
    "alternatives": (6, alternatives),
    "plain": (10, plain),
    "injected": (3, injected),
    "eight_bit": (2, eight_bit),
    "odd_charset": (2, odd_charset),
    "empty_parts": (2, empty_parts),
    "from_corpus": (6, from_corpus),
}


def made(count: int, chance: random.Random, *, big: bool = True) -> list[bytes]:
    """So many messages, each kind at least once if there is room; one with a 2 MB header block if ``big``.

    Without the corpus the rest is made all the same.
    """
    kinds = {name: kind for name, kind in KINDS.items() if name != "from_corpus" or CORPUS.is_dir()}
    weights, makers = zip(*kinds.values(), strict=True)
    chosen = list(makers) + chance.choices(makers, weights, k=max(count - len(makers), 0))
    chance.shuffle(chosen)
    if big and count > 1:
        chosen[count // 2] = big_header
    return [
        kind(chance, f"{number}-{chance.getrandbits(32):x}") for number, kind in enumerate(chosen[:count])
    ]


async def seed(
    jmap: HttpJmap,
    count: int,
    chance: random.Random,
    *,
    lmtp_port: int | None = None,
    to: str = "",
    big: bool = True,
) -> int:
    """Put mail into an account, one message after another, half of it by LMTP if there is one; how many were taken.

    ``to``: the address for LMTP. What the server refuses (not a message, a line too long) is left out.
    """
    [inbox] = (await jmap.call("Mailbox/query", filter={"role": "inbox"}))["ids"]
    taken = 0
    lmtp = await MailClient.connect(lmtp_port, is_lmtp=True) if lmtp_port else None
    try:
        for message in made(count, chance, big=big):
            if lmtp is not None and chance.random() < 0.5:
                taken += await _deliver(lmtp, message, to)
                continue
            blob = await jmap.upload(message)
            emails = {"e": {"blobId": blob, "mailboxIds": {inbox: True}}}
            taken += bool((await jmap.call("Email/import", emails=emails))["created"])
    finally:
        if lmtp is not None:
            await lmtp.close()
    return taken


async def _deliver(lmtp: MailClient, message: bytes, to: str) -> bool:
    # A bare CR or LF is refused by the protocol, and then the connection is at an end.
    clean = message.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    try:
        [reply] = await lmtp.send(clean, to)
    except Refused:
        await lmtp.say("RSET")
        return False
    return reply.startswith("2")


def with_attachment(data: bytes, subject: str = "with an attachment") -> bytes:
    """A text, and one attachment of these octets."""
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"] = "Zoe <zoe@example.org>", "alice@example.com", subject
    message.set_content("See the attachment.\n")
    message.add_attachment(data, maintype="application", subtype="octet-stream", filename="data.bin")
    return message.as_bytes()
