"""Maildir++ directories: folders are Mailboxes, letters in file names are keywords.

A folder is ``.Parent.Child`` in the top directory, its names in modified UTF-7 (RFC 3501 §5.1.3) or UTF-8.
Of the flags after ``:2,`` P is $forwarded, R $answered, S $seen, D $draft, F $flagged; T means the trash.
Lower-case letters stand for the keywords that a file ``dovecot-keywords`` in the folder numbers.
"""

import binascii
import os
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from veredus.cli.transfer import eml
from veredus.cli.transfer.incoming import Found, Incoming
from veredus.cli.transfer.outgoing import Outgoing

FLAGS = {"P": "$forwarded", "R": "$answered", "S": "$seen", "D": "$draft", "F": "$flagged"}
TRASHED = "T"
KEYWORDS_FILE = "dovecot-keywords"
_TRASH = ("Trash",)
_SHIFTED = re.compile(r"&([A-Za-z0-9+,]*)-")
# What cannot stand in the name of a folder as it is: its separator, "/", "&", and all but printable ASCII.
_TO_SHIFT = re.compile(r"[^\x20-\x25\x27-\x2d\x30-\x7e]+|&")


def is_maildir(path: Path) -> bool:
    return (path / "cur").is_dir() or (path / "new").is_dir()


def read(path: Path, mailbox: tuple[str, ...]) -> Iterator[Found]:
    """All messages; those of the top directory go to ``mailbox``, and folders stand beside it if that is
    INBOX, else below it. Raises OSError."""
    top = () if mailbox == ("INBOX",) else mailbox
    yield from _folder(path, mailbox)
    for folder in sorted(path.glob(".?*")):
        if is_maildir(folder):
            names = tuple(decode_name(name) for name in folder.name[1:].split(".") if name)
            yield from _folder(folder, (*top, *names))


def size(path: Path) -> int:
    """Octets of all messages."""
    return sum(entry.stat().st_size for part in ("cur", "new") for entry in path.glob(f"**/{part}/*"))


def _folder(folder: Path, mailbox: tuple[str, ...]) -> Iterator[Found]:
    named = _named_keywords(folder)
    for part in ("cur", "new"):
        with suppress(FileNotFoundError):
            for name in sorted(os.listdir(folder / part)):
                if not name.startswith("."):
                    yield _message(folder / part / name, mailbox, named)


def _message(path: Path, mailbox: tuple[str, ...], named: Mapping[str, str]) -> Found:
    _, _, letters = path.name.rpartition(":2,") if ":2," in path.name else ("", "", "")
    known = {**FLAGS, **named}
    keywords = frozenset(known[letter] for letter in letters if letter in known)
    found = eml.read_file(path, _TRASH if TRASHED in letters else mailbox)
    if isinstance(found, Incoming):
        return Incoming(found.data, found.where, found.mailbox, keywords, found.received, found.octets)
    return found


def _named_keywords(folder: Path) -> dict[str, str]:
    """Letters that Dovecot gave to keywords in this folder: lines ``0 name``."""
    try:
        lines = (folder / KEYWORDS_FILE).read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, UnicodeDecodeError):
        return {}
    pairs = (line.split(" ", 1) for line in lines if re.match(r"\d+ \S+$", line))
    return {chr(ord("a") + int(number)): name.lower() for number, name in pairs if int(number) < 26}


def decode_name(name: str) -> str:
    """A folder's name from modified UTF-7; what is not that is taken as it is."""
    try:
        return _SHIFTED.sub(_decoded, name)
    except (ValueError, binascii.Error):
        return name


def _decoded(found: re.Match[str]) -> str:
    text = found[1].replace(",", "/")
    return b64decode(text + "=" * (-len(text) % 4)).decode("utf-16-be") if text else "&"


def encode_name(name: str) -> str:
    """The name of a folder in modified UTF-7, the separator and ``/`` shifted, too."""
    return _TO_SHIFT.sub(_encoded, name)


def _encoded(found: re.Match[str]) -> str:
    if found[0] == "&":
        return "&-"
    return "&" + b64encode(found[0].encode("utf-16-be")).decode().rstrip("=").replace("/", ",") + "-"


class Writer:
    """Fills a Maildir++ directory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Letters by keyword, for each folder.
        self._letters: dict[Path, dict[str, str]] = {}
        self._folder(("INBOX",))  # without it other programs take the directory for something else

    def write(self, mailbox: tuple[str, ...], message: Outgoing) -> None:
        """Written in ``tmp`` and then moved, so that other programs never see half a message."""
        folder = self._folder(mailbox)
        flags = "".join(sorted(letter for letter, keyword in FLAGS.items() if keyword in message.keywords))
        others = [self._letter(folder, word) for word in message.keywords if word not in FLAGS.values()]
        moment = message.received.timestamp()
        name = f"{int(moment)}.{message.id}.veredus,S={len(message.data)}"
        temporary = folder / "tmp" / name
        temporary.write_bytes(message.data)
        os.utime(temporary, (moment, moment))
        temporary.rename(folder / "cur" / f"{name}:2,{flags}{''.join(sorted(others))}")

    def _folder(self, mailbox: tuple[str, ...]) -> Path:
        is_top = [name.upper() for name in mailbox] == ["INBOX"]
        folder = self._path if is_top else self._path / ("." + ".".join(map(encode_name, mailbox)))
        if folder not in self._letters:
            for part in ("cur", "new", "tmp"):
                (folder / part).mkdir(parents=True, exist_ok=True, mode=0o700)
            if not is_top:
                (folder / "maildirfolder").touch()
            self._letters[folder] = {name: letter for letter, name in _named_keywords(folder).items()}
        return folder

    def _letter(self, folder: Path, keyword: str) -> str:
        """The letter of a keyword; the 27th and those after it have none."""
        letters = self._letters[folder]
        if keyword not in letters and len(letters) < 26:
            letters[keyword] = chr(ord("a") + len(letters))
            with (folder / KEYWORDS_FILE).open("a", encoding="utf-8") as file:
                file.write(f"{len(letters) - 1} {keyword}\n")
        return letters.get(keyword, "")
