"""Settings from all sources into one `Config`: command line before environment before file before default."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from veredus.config import kinds
from veredus.config.errors import ConfigError
from veredus.config.fields import FIELDS, Field, build
from veredus.config.settings import Config
from veredus.config.sources import Given, Reader

SEARCHED = (Path("veredus.toml"), Path("/etc/veredus/veredus.toml"))


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and where each came from."""

    config: Config
    origins: Mapping[
        str, str
    ]  # each key: "default", "file veredus.toml:14", "env VEREDUS__…", "command line"
    file: Path | None
    secrets: frozenset[str]  # keys whose value came by reference, and is not shown


def find_file(environ: Mapping[str, str]) -> Path | None:
    """The file to read when none is named: ``VEREDUS_CONFIG``, else the first of `SEARCHED` that exists."""
    if named := environ.get("VEREDUS_CONFIG"):
        return Path(named)
    return next((path for path in SEARCHED if path.exists()), None)


def load(
    path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, object] | None = None
) -> Loaded:
    """Read the file ``path`` (None: no file), the environment and the options, by key, of a command line.

    An override of None means that the option was not used. Raises `ConfigError` with every problem there is.
    """
    reader = Reader(environ)
    if path is not None:
        reader.file(path)
    reader.environment()
    reader.command_line(overrides or {})
    values = {}
    for key, given in reader.given.items():
        try:
            values[key] = _typed(FIELDS[key], given)
        except ValueError as error:
            reader.problems.append(f"{given.where}{error}")
    config = build(values)
    reader.problems += _contradictions(config, reader.given)
    if reader.problems:
        raise ConfigError(reader.problems)
    origins = {key: reader.given[key].origin if key in reader.given else "default" for key in FIELDS}
    secrets = frozenset(key for key, given in reader.given.items() if given.is_secret)
    return Loaded(config, origins, path, secrets)


def _typed(field: Field, given: Given) -> object:
    value = (
        kinds.read_text(field.kind, given.value)
        if given.is_text and isinstance(given.value, str)
        else kinds.read(field.kind, given.value)
    )
    _check(field, value)
    if isinstance(value, Path):
        return (given.base or Path()) / value.expanduser()
    return value


def _check(field: Field, value: object) -> None:
    setting = field.setting
    if isinstance(value, int | float):
        if setting.minimum is not None and value < setting.minimum:
            raise ValueError(f"must be {_plain(field, setting.minimum)} or more")
        if setting.maximum is not None and value > setting.maximum:
            raise ValueError(f"must be {_plain(field, setting.maximum)} or less")
    if setting.check is not None:
        for text in value if isinstance(value, tuple) else [value]:
            problem = setting.check(text) if isinstance(text, str) else None
            if problem is not None:
                raise ValueError(problem)


def _plain(field: Field, bound: float) -> str:
    """A bound with its unit, as a person would write it."""
    return kinds.write(field.kind, bound).strip('"')


def _contradictions(config: Config, given: Mapping[str, Given]) -> list[str]:
    """What no single setting is to blame for."""
    problems = []

    def blame(key: str, text: str) -> None:
        where = given[key].where if key in given else f"{key}: "
        problems.append(where + text)

    for name, fault in (
        *_tls_faults(config, given),
        *_authorities_faults(config),
        *_times_faults(config, given),
    ):
        blame(name, fault)
    if config.workers > 1:
        for key, url in (("storage.url", config.storage.url), ("blobs.url", config.blobs.url)):
            if url == "memory":
                blame(key, f'"memory" cannot be shared by {config.workers} workers: it needs workers = 1')
    if not config.http.listen:
        blame("http.listen", "must name one address at least")
    return problems


def _tls_faults(config: Config, given: Mapping[str, Given]) -> Iterator[tuple[str, str]]:
    if config.tls.mode == "files":
        for name, path in (("tls.cert", config.tls.cert), ("tls.key", config.tls.key)):
            # A file that was named, but wrongly, has a line of its own already.
            if path is None and name not in given:
                yield "tls.mode", f'"files" needs {name}'
    elif config.submission.tls_listen:
        yield "submission.tls_listen", 'needs tls.mode = "files"'


def _times_faults(config: Config, given: Mapping[str, Given]) -> Iterator[tuple[str, str]]:
    """What would make one of the times of outgoing mail come too late for what it is there for."""
    outgoing = config.outgoing
    if outgoing.retry_longest < outgoing.retry_first:
        yield "outgoing.retry_first", "must not be longer than outgoing.retry_longest"
    if outgoing.give_up_after <= outgoing.retry_first:
        yield (
            "outgoing.give_up_after",
            "must be longer than outgoing.retry_first: else there is one attempt only",
        )
    # Who only shortens give_up_after has not asked for a warning.
    if (
        "outgoing.warn_after" in given
        and outgoing.warn_after is not None
        and outgoing.warn_after >= outgoing.give_up_after
    ):
        yield "outgoing.warn_after", 'must be shorter than outgoing.give_up_after; "none" means never'


def _authorities_faults(config: Config) -> Iterator[tuple[str, str]]:
    """Settings that name files of certification authorities, and what is wrong with the files."""
    for name, path in (
        ("push.ca_file", config.push.ca_file),
        ("outgoing.ca_file", config.outgoing.ca_file),
        ("mail.smime_ca_file", config.mail.smime_ca_file),
    ):
        if path is not None and (fault := _authorities_fault(path)):
            yield name, f"{path}: {fault}"


def _authorities_fault(path: Path) -> str | None:
    """What keeps the certification authorities of a PEM file from being read."""
    import ssl  # noqa: PLC0415 - takes 10 ms, and few have such a file

    try:
        ssl.create_default_context(cafile=str(path))
    except ssl.SSLError:
        return "holds no PEM certificate"
    except OSError as error:
        return error.strerror or str(error)
    return None
