"""Every fuzz target by its name, and the inputs it starts from."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tools import fuzz_engine, fuzz_formats, fuzz_queries, fuzz_requests, fuzz_sieve

ROOT = Path(__file__).parent.parent
# Inputs that once were a crash, as ``{target}-{anything}``; a test replays them.
FOUND = ROOT / "tests" / "fuzz" / "found"

TARGETS = (*fuzz_formats.TARGETS, *fuzz_engine.TARGETS, "queries")
_SMALL = 20_000
_FROM_CORPUS = 300


@contextmanager
def opened(name: str) -> Iterator[Callable[[bytes], None]]:
    """The target as a function of the input, with whatever it needs."""
    if name in fuzz_formats.TARGETS:
        yield fuzz_formats.TARGETS[name]
        return
    engines = fuzz_engine.Engines()
    try:
        if name == "queries":
            queries = fuzz_engine.Queries(engines)
            try:
                yield queries
            finally:
                queries.close()
        else:
            target = fuzz_engine.TARGETS[name]
            yield lambda data: target(engines, data)
    finally:
        engines.close()


def seeds(name: str) -> list[bytes]:
    """Whole inputs of the right kind, where there is such a thing."""
    found = [path.read_bytes() for path in sorted(FOUND.glob(f"{name}-*"))]
    if name in ("mime", "email"):
        return [*found, *(fuzz_queries.mail(number) for number in range(12)), *_corpus()]
    if name == "request":
        return [*found, *fuzz_requests.requests()]
    if name == "smtp":
        return [*found, *_DIALOGUES]
    if name == "sieve":
        return [*found, *fuzz_sieve.seeds()]
    # Choices: any octets are a whole input.
    return [*found, *(bytes((number * 97 + at * at * 31) % 256 for at in range(90)) for number in range(40))]


def _corpus() -> Sequence[bytes]:
    """Small messages of the corpus beside the clone, when it is there."""
    shared = Path(os.environ.get("VEREDUS_SHARED", ROOT.parent / "shared"))
    paths = [path for path in sorted(shared.glob("corpus/mail/**/*.eml")) if path.stat().st_size < _SMALL]
    return [path.read_bytes() for path in paths[:: max(1, len(paths) // _FROM_CORPUS)]]


_HEAD = (
    b"MAIL FROM:<a@b.example> SIZE=20 BODY=8BITMIME\r\nRCPT TO:<b@b.example>\r\nRCPT TO:<no@b.example>\r\n"
)
_DIALOGUES = [
    b"L" + _HEAD + b"DATA\r\nSubject: x\r\n\r\n..text\r\n.\r\nQUIT\r\n",
    b"\xff" + _HEAD + b"BDAT 4\r\nabcdBDAT 0 LAST\r\nRSET\r\nNOOP\r\nVRFY x\r\nHELP\r\n",
    b"L" + _HEAD + b"BDAT 400 LAST\r\n" + b"x" * 400 + b"STARTTLS\r\nEHLO y\r\n",
    'LMAIL FROM:<é@b.example> SMTPUTF8\r\nRCPT TO:<"a b"@[127.0.0.1]>\r\nDATA\r\n.\r\n'.encode(),
]

# What mutations are made of, by target; a fuzzer cannot guess these.
WORDS: dict[str, Sequence[bytes]] = {
    "mime": (
        b"Content-Type: multipart/mixed; boundary=b\r\n", b"--b\r\n", b"--b--\r\n", b"multipart/alternative",
        b"message/rfc822",
        b"Content-Transfer-Encoding: base64\r\n", b"quoted-printable", b"x-uuencode", b"begin 644 a\n",
        b"=?utf-8?q?=C3?=",
        b"charset=utf-16", b"charset=utf-7", b"iso-2022-jp", b"filename*0*=utf-8''%C3",
        b"Content-Disposition: attachment\r\n",
        b"Date: ", b"From: ", b"References: ", b"<style>", b"&#xD800;", b"text/html", b"\r\n\r\n",
        b"[list] Re: fwd(2): ",
    ),
    "smtp": (
        b"MAIL FROM:<", b"RCPT TO:<", b"DATA\r\n", b"BDAT 5 LAST\r\n", b"\r\n.\r\n", b"RSET\r\n",
        b"QUIT\r\n", b"STARTTLS\r\n",
        b" SIZE=", b" BODY=BINARYMIME", b" SMTPUTF8", b"EHLO x\r\n", b"HELO x\r\n", b"NOOP\r\n",
        b"@a.example,@b:c@d>",
    ),
    "request": (
        b'"#ids":{"resultOf":"c0","name":"Email/query","path":"/ids"}', b'"accountId":"@account"',
        b"\\ud800", b"\\u0000",
        b'"@e0"', b'"@inbox"', b"null", b"1e999", b"-0", b"9007199254740993",
        b'"operator":"NOT","conditions":[', b"[[[[", b"{}",
    ),
}  # fmt: skip
WORDS["email"] = WORDS["mime"]
WORDS["sieve"] = fuzz_sieve.WORDS
