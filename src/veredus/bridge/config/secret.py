"""Reading a secret where the settings say it is. Called at each use: files rotate."""

import json
import os
import stat
from pathlib import Path

import structlog

from veredus.bridge.config.errors import SecretError
from veredus.bridge.settings import Secret

_log = structlog.get_logger()
_warned: set[Path] = set()


def read(secret: Secret) -> str:
    """The secret without whitespace around it. `SecretError`: it is not there, empty, or not text."""
    if secret.env is not None:
        return _present(os.environ.get(secret.env), f"environment variable {secret.env}")
    if secret.file is None:
        raise SecretError("a secret needs a file or an environment variable")
    text = _text(secret.file)
    if secret.member is None:
        return _present(text, str(secret.file))
    where = f"{secret.file}: {secret.member}"
    return _present(_member(text, secret.member, where), where)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            _warn_of_readers(path, os.fstat(file.fileno()).st_mode)
            return file.read().decode()
    except OSError as error:
        raise SecretError(f"read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise SecretError(f"{path} is not text (UTF-8)") from None


def _present(text: str | None, where: str) -> str:
    if text is None:
        raise SecretError(f"{where} is not set")
    if not text.strip():
        raise SecretError(f"{where} is empty")
    return text.strip()


def _warn_of_readers(path: Path, mode: int) -> None:
    """Once for each file, not at each use."""
    if mode & stat.S_IROTH and stat.S_ISREG(mode) and path not in _warned:
        _warned.add(path)
        _log.warning(
            "a secret can be read by everyone on this machine", file=str(path), remedy=f"chmod 600 {path}"
        )


def _member(text: str, member: str, where: str) -> str | None:
    """What the path of keys leads to in a JSON text. Go compares keys without case; so do we."""
    try:
        value = json.loads(text.removeprefix("\ufeff"))
    except ValueError:
        raise SecretError(f"{where} cannot be read, the file is not JSON now") from None
    for key in member.split("."):
        members = value.items() if isinstance(value, dict) else ()
        value = next((found for name, found in members if name.casefold() == key), None)
    return value if isinstance(value, str) else None
