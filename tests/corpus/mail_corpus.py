"""The open corpus of real mail beside the repository (see its README.md), read from where it is."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).resolve().parents[2]
CORPUS = Path(os.environ.get("VEREDUS_SHARED", _ROOT.parent / "shared")) / "corpus"

needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason=f"the open corpus is not at {CORPUS}")

_MAIL_FOLDERS = ("mail", "mail-golden", "mail-large", "dsn", "smime", "openpgp", "itip", "jmap-exact", "mbox")


def read(path: str) -> bytes:
    return (CORPUS / path).read_bytes()


def read_json(path: str) -> Any:
    return json.loads((CORPUS / path).read_text("utf-8"))


def lf(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n")


def crlf(data: bytes) -> bytes:
    """``data`` as it is uploaded: with CRLF line ends."""
    return lf(data).replace(b"\n", b"\r\n")


def messages() -> Iterator[tuple[str, bytes]]:
    """(path, octets) of every message and mbox of the corpus."""
    with (CORPUS / "index.jsonl").open(encoding="utf-8") as index:
        for line in index:
            path = json.loads(line)["path"]
            if path.split("/")[0] in _MAIL_FOLDERS and not path.endswith((".json", ".xml")):
                yield path, read(path)
