"""Settings from files, the environment and the command line; and every way to get one wrong."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from veredus.config import Config, ConfigError, find_file, load
from veredus.config.fields import FIELDS, build, flat


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write veredus.toml in a new current directory; gives its relative path, as messages show it."""
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> Path:
        path = Path("veredus.toml")
        path.write_text(text)
        return path

    return write


def problems(path: Path | None, environ: dict[str, str] | None = None, **overrides: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {}, overrides)
    return caught.value.problems


def test_without_any_source_every_default_holds() -> None:
    loaded = load(None, {})
    assert loaded.config == Config()
    assert set(loaded.origins.values()) == {"default"}
    assert loaded.file is None


def test_a_config_is_frozen_and_survives_being_flattened() -> None:
    config = load(None, {"VEREDUS__HTTP__LISTEN": "0.0.0.0:80"}).config
    assert build(flat(config)) == config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.hostname = "x"  # type: ignore[misc]


def test_values_have_the_types_that_the_parts_take(write: Any) -> None:
    path = write(
        """
        hostname = "mail.example.com"
        data_dir = "data"
        http = { listen = ["0.0.0.0:80", "[::]:80"], public_url = "https://mail.example.com" }
        smtp.max_size = "25 MiB"
        [limits]
        max_size_upload = 1000
        max_mailbox_depth = "none"
        [auth]
        cache_ttl = "1h"
        """
    )
    config = load(path, {}).config
    assert config.hostname == "mail.example.com"
    assert config.http.listen == ("0.0.0.0:80", "[::]:80")
    assert config.smtp.max_size == 25 * 2**20
    assert type(config.smtp.max_size) is int  # msgspec encodes no subclasses
    assert (config.limits.max_size_upload, config.limits.max_mailbox_depth) == (1000, None)
    assert config.auth.cache_ttl == 3600
    assert config.data_dir == Path("data")


def test_a_relative_path_is_relative_to_the_file_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "veredus.toml"
    path.write_text('data_dir = "data"\n[tls]\ncert = "/etc/x.pem"')
    config = load(path, {"VEREDUS__TLS__KEY": "k.pem"}).config
    assert config.data_dir == tmp_path / "data"
    assert config.tls.cert == Path("/etc/x.pem")
    assert config.tls.key == Path("k.pem")


def test_the_command_line_wins_over_the_environment_over_the_file_over_the_default(write: Any) -> None:
    path = write('hostname = "file"\nlog.level = "error"\n[storage]\nurl = "memory"')
    environ = {"VEREDUS__HOSTNAME": "env", "VEREDUS__LOG__LEVEL": "debug"}
    loaded = load(path, environ, {"hostname": "flag", "data_dir": None})
    assert (loaded.config.hostname, loaded.config.log.level) == ("flag", "debug")
    assert loaded.origins["hostname"] == "command line"
    assert loaded.origins["log.level"] == "env VEREDUS__LOG__LEVEL"
    assert loaded.origins["storage.url"] == "file veredus.toml:4"
    assert loaded.origins["data_dir"] == "default"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("HTTP__LISTEN", '["a:1", "b:2"]', ("a:1", "b:2")),
        ("HTTP__LISTEN", "a:1, b:2", ("a:1", "b:2")),
        ("HTTP__LISTEN", "[::1]:1, b:2", ("[::1]:1", "b:2")),
        ("SMTP__LISTEN", "", ()),
        ("LIMITS__MAX_OBJECTS_IN_GET", "50", 50),
        ("LIMITS__MAX_SIZE_UPLOAD", "1GiB", 2**30),
        ("LIMITS__MAX_SIZE_UPLOAD", "1048576", 2**20),
        ("METRICS__ENABLED", "false", False),
        ("QUOTA__DEFAULT_OCTETS", "none", None),
        ("AUTH__CACHE_TTL", "250ms", 0.25),
        ("MAIL__SUBADDRESS_SEPARATOR", "none", None),
    ],
)
def test_the_environment_gives_text_for_every_type(name: str, text: str, expected: object) -> None:
    key = name.lower().replace("__", ".")
    assert flat(load(None, {f"VEREDUS__{name}": text}).config)[key] == expected


def test_every_setting_can_be_given_by_the_environment() -> None:
    assert FIELDS["limits.max_calls_in_request"].env == "VEREDUS__LIMITS__MAX_CALLS_IN_REQUEST"
    assert len({field.env for field in FIELDS.values()}) == len(FIELDS)


def test_a_secret_may_stand_in_a_file_or_a_variable_and_is_marked(write: Any, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("h.example\n")
    path = write('hostname = { file = "secret" }\nlog.level = { env = "LEVEL" }')
    (tmp_path / "number").write_text("7\n")
    loaded = load(path, {"LEVEL": "error", "VEREDUS__LIMITS__MAX_OBJECTS_IN_SET_FILE": "number"})
    config = loaded.config
    assert (config.hostname, config.log.level, config.limits.max_objects_in_set) == ("h.example", "error", 7)
    assert loaded.secrets == {"hostname", "log.level", "limits.max_objects_in_set"}
    assert loaded.origins["hostname"] == "file veredus.toml:1 (contents of secret)"
    assert loaded.origins["log.level"] == "file veredus.toml:2 (env LEVEL)"


def test_all_problems_are_told_at_once_each_with_its_place(write: Any) -> None:
    path = write('[smtp]\n  max_sise = 1\n  max_size = true\n[http]\nlisten = "x"\n[htp]\na = 1\nb = 2\n')
    assert problems(path, {"VEREDUS__SMTP__MAX_SISE": "1"}) == [
        'veredus.toml:2:3  smtp.max_sise: unknown key - did you mean "max_size"?',
        'veredus.toml:6:2  htp: unknown key - did you mean "http"?',
        'VEREDUS__SMTP__MAX_SISE  unknown setting - did you mean "VEREDUS__SMTP__MAX_SIZE"?',
        'veredus.toml:3:3  smtp.max_size: expected size such as "50MiB", got true',
        'veredus.toml:5:1  http.listen: expected list of strings, got "x"',
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = ", "veredus.toml:1:5  Invalid value"),
        ("a = 1\na = 2\n", "veredus.toml:2:6  Cannot overwrite a value"),
        ("zzz = 1", "veredus.toml:1:1  zzz: unknown key"),
        ("max_size = 1", 'veredus.toml:1:1  max_size: unknown key - did you mean "smtp.max_size"?'),
        ('"smtp.max_size" = 1', "veredus.toml:1:1  smtp.max_size: unknown key"),
        ("[smtp.max_size]\nx = 1", 'veredus.toml:1:7  smtp.max_size: a table is not a value here - { env = "NAME" } and { file = "path" } are'),
        ("http = 1", "veredus.toml:1:1  http: expected a table: [http]"),
        ("[[http]]\nlisten = []", "veredus.toml:1:3  http: expected a table: [http]"),
        ("http.listen = []", "veredus.toml:1:6  http.listen: must name one address at least"),
        ("http.listen = [1]", "veredus.toml:1:6  http.listen: expected list of strings, got a list with something else in it"),
        ('http = { lisen = [] }', 'veredus.toml:1:10  http.lisen: unknown key - did you mean "listen"?'),
        ('http.listen = ["::1:80"]', "veredus.toml:1:6  http.listen: an IPv6 address needs brackets: [::1]:8580"),
        ('storage.url = "sqlit"', 'veredus.toml:1:9  storage.url: expected "sqlite", "memory" or a URL such as "postgresql://veredus@10.0.0.4/veredus", got "sqlit"'),
        ("auth.cache_ttl = 5", 'veredus.toml:1:6  auth.cache_ttl: expected duration such as "30s", "5m" or "24h", got 5'),
        ('auth.cache_ttl = "8d"', "veredus.toml:1:6  auth.cache_ttl: must be 1d or less"),
        ('submission.listen = ["587"]', 'veredus.toml:1:12  submission.listen: expected "host:port" with a port'),
        ('outgoing.retry_first = "5h"', "veredus.toml:1:10  outgoing.retry_first: must not be longer than outgoing.retry_longest"),
        ('outgoing.give_up_after = "5m"', "veredus.toml:1:10  outgoing.give_up_after: must be longer than outgoing.retry_first"),
        ('outgoing.warn_after = "5d"', "veredus.toml:1:10  outgoing.warn_after: must be shorter than outgoing.give_up_after"),
        ('outgoing.ca_file = "x.pem"', "veredus.toml:1:10  outgoing.ca_file: "),
        ("limits.max_objects_in_get = 0", "veredus.toml:1:8  limits.max_objects_in_get: must be 1 or more"),
        ("limits.max_objects_in_get = 1.5", "veredus.toml:1:8  limits.max_objects_in_get: expected integer, got 1.5"),
        ('limits.max_objects_in_get = "none"', 'veredus.toml:1:8  limits.max_objects_in_get: expected integer, got "none"'),
        ("limits.max_size_mailbox_name = 99", "veredus.toml:1:8  limits.max_size_mailbox_name: must be 100 or more"),
        ('tls.mode = "files"\ntls.cert = "x"', 'veredus.toml:1:5  tls.mode: "files" needs tls.key'),
        ('push.ca_file = "x.pem"', "veredus.toml:1:6  push.ca_file: "),
        ('workers = 2\nstorage.url = "memory"', 'veredus.toml:2:9  storage.url: "memory" cannot be shared by 2 workers'),
        ('hostname = { env = "NOPE" }', "veredus.toml:1:1  hostname: the environment variable NOPE is not set"),
        ('hostname = { file = "nope" }', "veredus.toml:1:1  hostname: cannot read nope: No such file or directory"),
        ('hostname = ""', "veredus.toml:1:1  hostname: expected a host name such as mail.example.com"),
        ("x = " + "[" * 5000 + "]" * 5000, "veredus.toml  nested too deeply"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_is_named_with_its_place(write: Any, text: str, expected: str) -> None:
    assert problems(write(text))[0].startswith(expected)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"VEREDUS__LIMITS__MAX_OBJECTS_IN_GET": "x"}, 'VEREDUS__LIMITS__MAX_OBJECTS_IN_GET  expected integer, got "x"'),
        ({"VEREDUS__HTTP__LISTEN": "[1"}, 'VEREDUS__HTTP__LISTEN  expected a JSON list, got "[1"'),
        ({"VEREDUS__METRICS__ENABLED": "yes"}, 'VEREDUS__METRICS__ENABLED  expected true or false, got "yes"'),
        ({"VEREDUS__HOSTNAME": "h", "VEREDUS__HOSTNAME_FILE": "f"}, "VEREDUS__HOSTNAME_FILE  VEREDUS__HOSTNAME is set as well - keep one of them"),
        ({"VEREDUS__HOSTNAME_FILE": "/dev/zero"}, "VEREDUS__HOSTNAME_FILE  cannot read /dev/zero: larger than 65536 octets"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_environment_is_named_with_its_variable(
    environ: dict[str, str], expected: str
) -> None:
    assert problems(None, environ) == [expected]


def test_a_file_that_cannot_be_read_is_a_problem_and_not_a_traceback(tmp_path: Path) -> None:
    missing, binary = tmp_path / "missing.toml", tmp_path / "binary.toml"
    binary.write_bytes(b"a = '\xff'")
    assert problems(missing) == [f"{missing}  cannot be read: No such file or directory"]
    assert problems(binary) == [f"{binary}  cannot be read: not UTF-8 at octet 5"]


def test_a_mistake_on_the_command_line_names_the_option() -> None:
    assert problems(None, {}, **{"smtp.listen": ["x"]}) == [
        '--smtp-listen  expected "host:port" with a port from 0 to 65535'
    ]
    with pytest.raises(KeyError):
        load(None, {}, {"no.such": 1})


def test_the_file_is_looked_for_in_the_usual_places(write: Any) -> None:
    write("")
    assert find_file({}) == Path("veredus.toml")
    assert find_file({"VEREDUS_CONFIG": "/x/y.toml"}) == Path("/x/y.toml")
