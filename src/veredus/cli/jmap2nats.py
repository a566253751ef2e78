"""The program `jmap2nats`: called as the Go program of that name, and with its configuration, ours runs."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from veredus import __version__

if TYPE_CHECKING:
    from veredus.bridge.config import Loaded

_PROGRAM = "jmap2nats"
_VARIABLE = "JMAP2NATS_CONFIG"
_DEFAULT = "jmap2nats.json"
_EXIT_FAILURE = 1
_EXIT_USAGE = 2

# As Go's package flag prints them: by name, the text on a line of its own.
_USAGE = f"""Usage of {_PROGRAM}:
  -config string
    \tPath to the configuration (overrides {_VARIABLE} and ./{_DEFAULT})
  -print-config
    \tPrint a default configuration and exit
  -verbose
    \tLog more
  -version
    \tPrint version and exit
"""
_SWITCHES = ("print-config", "verbose", "version")
# What Go's strconv.ParseBool takes.
_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")


class _UsageError(Exception):
    """A flag is wrong: told with the usage, exit code 2."""


@dataclass(slots=True)
class _Flags:
    config: str = ""
    print_config: bool = False
    verbose: bool = False
    version: bool = False
    help: bool = False
    unused: Sequence[str] = ()


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the program; the exit codes are those of the Go one."""
    sys.exit(_main(sys.argv[1:] if argv is None else argv))


def _main(argv: Sequence[str]) -> int:
    try:
        flags = _Flags(version=True) if argv and argv[0] == "version" else _parse(argv)
    except _UsageError as error:
        sys.stderr.write(f"{error}\n{_USAGE}")
        return _EXIT_USAGE
    if flags.help:
        sys.stderr.write(_USAGE)
    elif flags.version:
        sys.stdout.write(f"{__version__} (Veredus)\n")
    elif flags.print_config:
        from veredus.bridge.config.template import template

        sys.stdout.write(f"{template()}\n")
    else:
        return _bridge(flags)
    return 0


def _parse(argv: Sequence[str]) -> _Flags:
    """As Go reads flags: one dash or two, ``-x=y`` or ``-x y``, until the first word that is none."""
    flags = _Flags()
    words = list(argv)
    while words and len(words[0]) > 1 and words[0].startswith("-"):
        word = words.pop(0)
        if word == "--":
            break
        bare = word[1:].removeprefix("-")
        name, equals, value = bare.partition("=")
        if not name or name.startswith("-"):
            raise _UsageError(f"bad flag syntax: {word}")
        if name == "config":
            if not equals and not words:
                raise _UsageError("flag needs an argument: -config")
            flags.config = value if equals else words.pop(0)
        elif name in _SWITCHES:
            setattr(flags, name.replace("-", "_"), _switch(name, value if equals else "true"))
        elif name in ("h", "help"):
            return _Flags(help=True)
        else:
            raise _UsageError(f"flag provided but not defined: -{name}")
    flags.unused = words
    return flags


def _switch(name: str, value: str) -> bool:
    if value not in (*_TRUE, *_FALSE):
        raise _UsageError(f'invalid boolean value "{value}" for -{name}: parse error')
    return value in _TRUE


def _bridge(flags: _Flags) -> int:
    from veredus.bridge.config import ConfigError, load
    from veredus.cli.bridge.common import is_expected
    from veredus.cli.bridge.until_stopped import until_stopped

    chosen = flags.config or os.environ.get(_VARIABLE)
    try:
        loaded = load(Path(chosen or _DEFAULT))
    except ConfigError as error:
        hint = "" if chosen or error.path.exists() else f" (-config or {_VARIABLE} names another)"
        return _fail(f"{error}{hint}")
    _begin_log(flags, loaded)
    try:
        return until_stopped(loaded.bridges, flags.verbose)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("nats", "nkeys"):
            raise
        return _fail(f"{error.name} is not installed: pip install 'veredus[bridge]'")
    except Exception as error:
        if not is_expected(error):
            raise  # its traceback is what a report needs
        return _fail(str(error))


def _begin_log(flags: _Flags, loaded: "Loaded") -> None:
    import structlog

    from veredus import log as logs

    level: logs.Level = "debug" if flags.verbose else "info"
    logs.configure("auto", level)
    log = structlog.get_logger()
    log.info("starting", program=_PROGRAM, version=__version__, config=str(loaded.path), level=level)
    for warning in loaded.warnings:
        log.warning("configuration", config=str(loaded.path), problem=warning)
    if flags.unused:
        log.warning("arguments that are no flags are ignored", arguments=list(flags.unused))


def _fail(text: str) -> int:
    sys.stderr.write(f"{_PROGRAM}: {text}\n")
    return _EXIT_FAILURE


if __name__ == "__main__":
    main()
