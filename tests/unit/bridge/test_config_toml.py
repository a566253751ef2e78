"""``[[bridge]]`` in TOML: what it may say, and what is told of mistakes."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from msgspec import Struct

from veredus.bridge.config import ConfigError, load, public_json
from veredus.bridge.config.errors import Findings
from veredus.bridge.config.toml import read_bridges
from veredus.bridge.settings import (
    BridgeSettings,
    CursorSettings,
    DlqSettings,
    EmailStreamSettings,
    EventStreamSettings,
    FilterSettings,
    JmapSettings,
    NatsSettings,
    PartsSettings,
    RouteSettings,
    Secret,
    SnapshotSettings,
)

DOCUMENTED = """
http.listen = ["127.0.0.1:8080"]

[[bridge]]
name = "fastmail"
wire = "auto"
jmap    = { session_url = "https://api.fastmail.com/jmap/session", token = { file = "/run/secrets/jmap" }, accounts = ["*"] }
nats    = { url = "nats://localhost:4222", creds = { file = "/run/secrets/creds" }, tls_ca = "/ca.pem" }
stream  = { name = "JMAP_EMAILS", subject_prefix = "jmap.email", max_age = "168h", max_bytes = "64MiB", dedup_window = "24h", externally_managed = false, replicas = 3 }
events  = { enabled = true, name = "JMAP_EVENTS", subject_prefix = "jmap.event", types = ["Email", "Mailbox"], max_age = "7d", max_bytes = "256MiB" }
parts   = { bucket = "email-parts", max_bytes = "960MiB", max_per_part = "25MiB", mode = "all", on_full = "evict-oldest" }
cursor  = { bucket = "JMAP_EMAILS_CURSOR" }
dlq     = { name = "JMAP_DLQ", max_attempts = 5 }
snapshot = { mode = "recent", limit = 100 }

[[bridge.route]]
match = "from:@stripe.com has:attachment"
subject = "billing.mail.{account}"

[[bridge]]
name = "home"
stream = { name = "HOME", subject_prefix = "home.email" }
state_bucket = "HOME_BRIDGE"
jmap = { session_url = "alice@example.com", user = "alice@example.com", password = { env = "HOME_PASSWORD" } }
nats = { user = "bridge", password = { env = "NATS_PASSWORD" } }
mailboxes_bucket = "none"
poll = "1m30s"
"""
MINIMAL: dict[str, Any] = {
    "name": "x",
    "jmap": {"session_url": "https://jmap.example/session", "token": {"env": "TOKEN"}},
}


def read(*tables: dict[str, Any]) -> list[BridgeSettings]:
    findings = Findings()
    bridges = read_bridges({"bridge": list(tables)}, findings)
    assert findings.problems == []
    return bridges


def problems(*tables: object) -> list[str]:
    findings = Findings()
    assert read_bridges({"bridge": list(tables)}, findings) == []
    return findings.problems


def changed(**changes: Any) -> dict[str, Any]:
    """The minimal table with members changed by their path; None takes one away."""
    table: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(MINIMAL))
    for path, value in changes.items():
        inner, _, key = path.rpartition("__")
        members = table.setdefault(inner, {}) if inner else table
        members[key] = value
        if value is None:
            del members[key]
    return table


def test_the_documented_form_is_read_and_other_tables_are_let_alone(tmp_path: Path) -> None:
    file = tmp_path / "veredus.toml"
    file.write_text(DOCUMENTED)
    loaded = load(file)
    assert loaded.warnings == []
    assert loaded.bridges == [
        BridgeSettings(
            name="fastmail",
            jmap=JmapSettings(
                url="https://api.fastmail.com/jmap/session",
                token=Secret(file=Path("/run/secrets/jmap")),
                accounts=("*",),
            ),
            nats=NatsSettings(creds=Path("/run/secrets/creds"), tls_ca=Path("/ca.pem")),
            stream=EmailStreamSettings(),
            events=EventStreamSettings(enabled=True, types=("Email", "Mailbox")),
            parts=PartsSettings(),
            cursor=CursorSettings(bucket="JMAP_EMAILS_CURSOR"),
            dlq=DlqSettings(),
            snapshot=SnapshotSettings(mode="recent"),
            routes=(
                RouteSettings(match="from:@stripe.com has:attachment", subject="billing.mail.{account}"),
            ),
            replicas=3,
        ),
        BridgeSettings(
            name="home",
            jmap=JmapSettings(
                url="alice@example.com", user="alice@example.com", password=Secret(env="HOME_PASSWORD")
            ),
            nats=NatsSettings(user="bridge", password=Secret(env="NATS_PASSWORD")),
            stream=EmailStreamSettings(name="HOME", subject_prefix="home.email"),
            state_bucket="HOME_BRIDGE",
            mailboxes_bucket=None,
            poll_s=90.0,
        ),
    ]


def test_a_file_that_is_not_toml_is_told_with_the_line(tmp_path: Path) -> None:
    file = tmp_path / "bridge.conf"
    file.write_text('[[bridge]]\nname = "s3cret\n')
    with pytest.raises(
        ConfigError, match=r"^parse config .*bridge.conf: .*\(at line 2, column \d+\)$"
    ) as raised:
        load(file)
    assert "s3cret" not in str(raised.value)


def leaves(owner: type[Struct], path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every field of the settings: its path, its kind, its default."""
    hints = get_type_hints(owner)
    for field in msgspec.structs.fields(owner):
        hint, place = hints[field.name], f"{path}{field.name}"
        if isinstance(hint, type) and issubclass(hint, Struct) and hint is not Secret:
            yield from leaves(hint, f"{place}.")
        else:
            yield place, hint, field.default


def other_than(kind: Any, default: Any, path: str) -> Any:
    """A value of this kind that is not the default."""
    kinds = get_args(kind) if type(None) in get_args(kind) else (kind,)
    if Secret in kinds:
        return Secret(file=Path(f"/run/{path}"))
    if Path in kinds:
        return Path(f"/etc/{path}")
    if get_origin(kind) is tuple:
        return (
            (RouteSettings(match="x", subject="y.{account}"),)
            if kind.__args__[0] is RouteSettings
            else ("a",)
        )
    if choices := get_args(kind) if str not in kinds else ():
        return next(choice for choice in choices if choice != default)
    if isinstance(default, bool):
        return not default
    if isinstance(default, int | float):
        return default + 1
    return f"{path.replace('.', '-')}-{default or 'x'}" if path != "monitor.listen" else "[::1]:9090"


def build(owner: type[Any], values: dict[str, Any], path: str = "") -> Any:
    hints = get_type_hints(owner)
    made = {}
    for field in msgspec.structs.fields(owner):
        place = f"{path}{field.name}"
        made[field.name] = values[place] if place in values else build(hints[field.name], values, f"{place}.")
    return owner(**made)


@pytest.mark.parametrize(
    "absent",
    [
        ("jmap.token", "nats.token", "nats.creds", "nats.nkey_seed"),
        ("jmap.user", "jmap.password", "nats.token", "nats.creds", "nats.user", "nats.password"),
        ("jmap.token", "nats.user", "nats.password", "nats.creds", "nats.nkey_seed"),
        ("jmap.token", "nats.user", "nats.password", "nats.token", "nats.nkey_seed"),
    ],
)
def test_every_setting_can_be_written_and_read_again(absent: tuple[str, ...]) -> None:
    values = {path: other_than(kind, default, path) for path, kind, default in leaves(BridgeSettings)}
    values |= dict.fromkeys(absent)
    settings = build(BridgeSettings, values)
    table = public_json(settings)
    assert tomllib.loads(toml(table))["bridge"] == [table]  # every value is one that TOML has
    assert read(table) == [settings]


def toml(table: dict[str, Any]) -> str:
    """Inline, as one line: strings of JSON are strings of TOML."""

    def value(item: Any) -> str:
        if isinstance(item, dict):
            return "{" + ", ".join(f"{key} = {value(inner)}" for key, inner in item.items()) + "}"
        if isinstance(item, list):
            return "[" + ", ".join(value(inner) for inner in item) + "]"
        return msgspec.json.encode(item).decode()

    return f"bridge = [{value(table)}]"


def test_what_is_public_names_secrets_and_does_not_hold_them() -> None:
    settings = BridgeSettings(
        name="x",
        jmap=JmapSettings(url="https://me:s3cret@jmap.example/", token=Secret(env="TOKEN")),
        nats=NatsSettings(
            url="nats://u:s3cret@a:4222, s3cret@b, nats://c", nkey_seed=Secret(file=Path("/n"))
        ),
    )
    public = public_json(settings)
    assert public["jmap"] == {
        "session_url": "https://jmap.example/", "token": {"env": "TOKEN"}, "accounts": [], "timeout": "1m0s",
    }  # fmt: skip
    assert public["nats"] == {"url": "nats://a:4222,b,nats://c", "nkey_seed": {"file": "/n"}}
    assert public_json(BridgeSettings(name="x", jmap=JmapSettings(url="alice@example.com")))["jmap"][
        "session_url"
    ] == ("alice@example.com")


def test_a_setting_may_stand_under_the_name_that_it_has_elsewhere() -> None:
    assert read(changed(replicas=3)) == read(changed(stream={"replicas": 3}))
    assert read(changed(jmap={"url": "https://jmap.example/session", "token": {"env": "TOKEN"}})) == read(
        MINIMAL
    )


PROBLEMS: list[tuple[dict[str, Any], str]] = [
    ({"name": None}, "bridge 1: name is required"),
    ({"name": "my bridge"}, 'bridge "my bridge": name "my bridge" is no name of a bridge: letters, digits, _ and - only, at most 64'),
    ({"name": 5}, "bridge 1: name: expected a string, got 5"),
    ({"jmap": None}, 'bridge "x": jmap is required'),
    ({"jmap__session_url": None}, 'bridge "x": jmap.session_url is required'),
    ({"jmap__url": "a"}, 'bridge "x": jmap.url and jmap.session_url are the same: set one of them'),
    ({"stream": {"replicas": 1}, "replicas": 1}, 'bridge "x": stream.replicas and replicas are the same: set one of them'),
    ({"stream__max_agee": "1h"}, 'bridge "x": stream.max_agee is unknown - did you mean stream.max_age?'),
    ({"snapshott": {}}, 'bridge "x": snapshott is unknown - did you mean snapshot?'),
    ({"cursor__zzz": 1}, 'bridge "x": cursor.zzz is unknown - known are bucket'),
    ({"route": [{"match": "a", "subject": "b", "too": 1}]}, 'bridge "x": route[0].too is unknown - known are match, subject'),
    ({"route": {"match": "a"}}, 'bridge "x": route: expected tables: write [[bridge.route]], got a table'),
    ({"route": [{"match": "a"}]}, 'bridge "x": route[0].subject is required'),
    ({"stream": 1}, 'bridge "x": stream: expected a table, got 1'),
    ({"wire": "2"}, 'bridge "x": wire: expected auto | 0a | 0 | 1, got "2"'),
    ({"parts__raw": 1}, 'bridge "x": parts.raw: expected true or false, got 1'),
    ({"concurrency": "8"}, 'bridge "x": concurrency: expected a whole number, got "8"'),
    ({"concurrency": True}, 'bridge "x": concurrency: expected a whole number, got true'),
    ({"jmap__accounts": "a"}, 'bridge "x": jmap.accounts: expected a list of strings, got "a"'),
    ({"jmap__accounts": ["a", ""]}, 'bridge "x": jmap.accounts: expected a string that is not empty'),
    ({"jmap__tls_ca": ""}, 'bridge "x": jmap.tls_ca: expected a string that is not empty'),
    ({"poll": 60}, 'bridge "x": poll: expected a duration such as "168h" or "1h30m", got 60'),
    ({"poll": "60"}, 'bridge "x": poll: expected a duration such as "168h" or "1h30m", got "60" (a unit is missing)'),
    ({"poll": "0s"}, 'bridge "x": poll must be positive'),
    ({"lease": "-1s"}, 'bridge "x": lease must be positive'),
    ({"jmap__timeout": "0s"}, 'bridge "x": jmap.timeout must be positive'),
    ({"jmap__token": "s3cret"}, 'bridge "x": jmap.token: a secret must not stand in this file: write { file = "…" } or { env = "…" }'),
    ({"jmap__token": {"value": "s3cret"}}, 'bridge "x": jmap.token: expected { file = "…" } or { env = "…" }'),
    ({"jmap__token": {"file": "a", "env": "b"}}, 'bridge "x": jmap.token: expected { file = "…" } or { env = "…" }'),
    ({"jmap__token": {"file": ""}}, 'bridge "x": jmap.token: expected { file = "…" } or { env = "…" }'),
    ({"nats__password": "s3cret"}, 'bridge "x": nats.password: a secret must not stand in this file: write { file = "…" } or { env = "…" }'),
    ({"nats__creds": "s3cret"}, 'bridge "x": nats.creds: expected { file = "…" }'),
    ({"nats__creds": {"env": "X"}}, 'bridge "x": nats.creds: expected { file = "…" }'),
    ({"nats__url": "nats://u:s3cret@h"}, 'bridge "x": nats.url must not hold a user or a password: they have keys of their own'),
    ({"jmap__session_url": "https://u:s3cret@h/"}, 'bridge "x": jmap.session_url must not hold a user or a password: they have keys of their own'),
    ({"jmap__token": None}, 'bridge "x": jmap.token is required, or jmap.user with jmap.password; not both'),
    ({"jmap__user": "a", "jmap__password": {"env": "B"}}, 'bridge "x": jmap.token is required, or jmap.user with jmap.password; not both'),
    ({"jmap__token": None, "jmap__user": "a"}, 'bridge "x": jmap.user and jmap.password must be set together'),
    ({"nats__user": "a"}, 'bridge "x": nats.user and nats.password must be set together'),
    ({"nats__tls_key": "/k"}, 'bridge "x": nats.tls_cert and nats.tls_key must be set together'),
    ({"nats__token": {"env": "A"}, "nats__creds": {"file": "B"}}, 'bridge "x": nats takes one way to authenticate: token, user with password, creds, or nkey_seed'),
    ({"jmap__accounts": ["a/b"]}, 'bridge "x": jmap.accounts "a/b" is no id of JMAP: letters, digits, _ and - only'),
    ({"events": {"enabled": True, "subject_prefix": "jmap.email"}}, 'bridge "x": events.subject_prefix "jmap.email" overlaps stream.subject_prefix "jmap.email": no two streams may share subjects'),
    ({"events": {"enabled": True, "subject_prefix": "jmap.dlq.x"}}, 'bridge "x": events.subject_prefix "jmap.dlq.x" overlaps dlq.subject_prefix "jmap.dlq": no two streams may share subjects'),
    ({"dlq__subject_prefix": "jmap.email.dead"}, 'bridge "x": dlq.subject_prefix "jmap.email.dead" overlaps stream.subject_prefix "jmap.email": no two streams may share subjects'),
    ({"monitor__heartbeat_prefix": "jmap.email"}, 'bridge "x": monitor.heartbeat_prefix "jmap.email" overlaps stream.subject_prefix "jmap.email": that stream would store it'),
    ({"route": [{"match": "a", "subject": "jmap.dlq"}]}, 'bridge "x": route[0].subject "jmap.dlq" overlaps dlq.subject_prefix "jmap.dlq": that stream would store it'),
    ({"route": [{"match": "a", "subject": "a.{id}"}]}, 'bridge "x": route[0].subject "a.{id}" is no subject: only {account} can stand in braces, and only in a route'),
    ({"route": [{"match": "a", "subject": "a.*"}]}, 'bridge "x": route[0].subject "a.*" is no subject: words with . between them, without spaces, * or >'),
    ({"dlq__name": "JMAP_EMAILS"}, 'bridge "x": dlq.name is "JMAP_EMAILS", and so is stream.name: each needs its own'),
    ({"events": {"enabled": True, "state_bucket": "JMAP_BRIDGE"}}, 'bridge "x": events.state_bucket is "JMAP_BRIDGE", and so is state_bucket: each needs its own'),
    ({"replicas": 0}, 'bridge "x": replicas must be at least 1'),
    ({"dlq__max_attempts": 0}, 'bridge "x": dlq.max_attempts must be positive'),
    ({"monitor__listen": "9090"}, 'bridge "x": monitor.listen "9090" is no address: write host:port, such as "127.0.0.1:9090"'),
    ({"monitor__listen": "h:99999"}, 'bridge "x": monitor.listen "h:99999" is no address: write host:port, such as "127.0.0.1:9090"'),
    ({"stream": {"enabled": False}}, 'bridge "x": stream.enabled and events.enabled are both off: there would be nothing to write'),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), PROBLEMS)
def test_a_mistake_is_told_with_its_bridge_and_key(changes: dict[str, Any], said: str) -> None:
    found = problems(changed(**changes))
    assert found == [said]
    assert "s3cret" not in said


def test_all_mistakes_of_all_bridges_are_told_at_once() -> None:
    assert problems(
        changed(name="a", wire="9", poll="x"), changed(name="b", replicas=0, jmap__token="t")
    ) == [
        'bridge "a": wire: expected auto | 0a | 0 | 1, got "9"',
        'bridge "a": poll: expected a duration such as "168h" or "1h30m", got "x"',
        'bridge "b": jmap.token: a secret must not stand in this file: write { file = "…" } or { env = "…" }',
    ]


def test_bridges_are_tables_in_two_brackets() -> None:
    for root, said in [
        ({}, "there is no [[bridge]] table"),
        ({"bridge": []}, "there is no [[bridge]] table"),
        ({"bridge": {"name": "x"}}, "[bridge] is one table: write [[bridge]], with two brackets"),
        ({"bridge": [1]}, "bridge 1: expected a table, got 1"),
    ]:
        findings = Findings()
        assert read_bridges(root, findings) == []
        assert findings.problems == [said]


def test_two_bridges_need_two_names() -> None:
    assert problems(MINIMAL, MINIMAL) == ['bridge "x": there is another one of this name']


def test_two_bridges_do_not_share_the_state_of_one_account() -> None:
    one, two = changed(name="one", jmap__accounts=["a", "b"]), changed(name="two", jmap__accounts=["b"])
    assert problems(one, two) == [
        'bridge "two": "one" reads account "b", too; give one of them its own state_bucket'
    ]
    assert len(read(one, {**two, "state_bucket": "OTHER"})) == 2


def test_two_bridges_agree_on_the_subjects_of_streams() -> None:
    one = changed(name="one", stream={"name": "A", "subject_prefix": "mail"})
    assert problems(one, changed(name="two", stream={"name": "A", "subject_prefix": "post"})) == [
        'bridge "two": stream "A" takes "post", and in bridge "one" "A" takes "mail": a stream has one prefix'
    ]
    assert problems(one, changed(name="two", stream={"name": "B", "subject_prefix": "mail.x"})) == [
        'bridge "two": stream "B" takes "mail.x", and in bridge "one" "A" takes "mail": '
        "no two streams may share subjects"
    ]
    assert problems(one, changed(name="two", stream={"name": "B", "subject_prefix": "mail"})) == [
        'bridge "two": stream "B" takes "mail", and in bridge "one" "A" takes "mail": '
        "no two streams may share subjects"
    ]
    assert len(read(one, one | {"name": "two"})) == 2
    elsewhere = changed(name="two", stream={"name": "A", "subject_prefix": "post"}, nats__url="nats://b")
    assert len(read(one, elsewhere)) == 2


def test_two_servers_written_to_one_place_are_warned_of() -> None:
    one = changed(name="one")
    two = changed(name="two", jmap__session_url="https://other.example/")
    findings = Findings()
    assert len(read_bridges({"bridge": [one, two]}, findings)) == 2
    assert findings.warnings == [
        'bridge "two": stream.name and state_bucket and mailboxes_bucket as in "one": if their servers have accounts of the same id, '
        "these are taken for one"
    ]
    for apart in (
        {"nats": {"url": "nats://elsewhere"}},
        {"stream": {"name": "S", "subject_prefix": "s"}, "state_bucket": "T", "mailboxes_bucket": "M"},
    ):
        findings = Findings()
        read_bridges({"bridge": [one, two | apart]}, findings)
        assert findings.warnings == []


def test_a_filter_may_be_empty() -> None:
    assert read(changed(filter={"include": "", "exclude": "in:spam"}))[0].filter == FilterSettings(
        exclude="in:spam"
    )
