"""``jmap2nats.json`` of each generation is used as it is; what is wrong with it is told by key."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from veredus.bridge.config import ConfigError, Loaded, load, public_json, read
from veredus.bridge.config.template import template
from veredus.bridge.settings import (
    BridgeSettings,
    CursorSettings,
    DlqSettings,
    EmailStreamSettings,
    JmapSettings,
    MonitorSettings,
    NatsSettings,
    PartsSettings,
    Secret,
    SnapshotSettings,
)

GENERATIONS = Path(__file__).parent / "jmap2nats"
MINIMAL = {"jmap": {"session_url": "https://jmap.example/session", "token_file": "/token"}}
MIB, GIB = 2**20, 2**30

Write = Callable[..., Loaded]


@pytest.fixture
def loaded(tmp_path: Path) -> Write:
    """The minimal file with members changed by their path; None takes one away."""

    def write(**changes: Any) -> Loaded:
        config = json.loads(json.dumps(MINIMAL))
        for path, value in changes.items():
            table, _, key = path.rpartition("__")
            members = config.setdefault(table, {}) if table else config
            members[key] = value
        file = tmp_path / "jmap2nats.json"
        file.write_text(json.dumps(config))
        return load(file)

    return write


def only(loaded: Loaded) -> BridgeSettings:
    assert len(loaded.bridges) == 1
    return loaded.bridges[0]


def test_the_first_generation_is_read_with_its_token_in_the_file() -> None:
    loaded = load(GENERATIONS / "0a.json")
    assert loaded.warnings == []
    assert only(loaded) == BridgeSettings(
        name="jmap2nats",
        mailboxes_bucket=None,
        jmap=JmapSettings(
            url="https://api.fastmail.com/jmap/session",
            token=Secret(file=GENERATIONS / "0a.json", member="jmap.token"),
            accounts=("u1234abcd",),
        ),
        nats=NatsSettings(url="tls://connect.ngs.global", creds=Path("/etc/jmap2nats/ngs.creds")),
        stream=EmailStreamSettings(
            name="MAIL",
            subject_prefix="mail.in",
            max_age_s=131_400.0,
            max_bytes=1536 * MIB,
            dedup_window_s=5400.0,
        ),
        parts=PartsSettings(bucket="mail-parts", max_bytes=2_000_000_000, max_per_part=25_000_000),
        snapshot=SnapshotSettings(limit=250),
        state_bucket="MAIL_BRIDGE",
    )
    assert only(loaded).cursor_bucket == "MAIL_CURSOR"
    token = only(loaded).jmap.token
    assert token is not None
    assert read(token) == "fmu1-yourtokenhere"
    assert "fmu1" not in repr(loaded) + json.dumps(public_json(only(loaded)))


def test_the_second_generation_is_read_as_its_chart_renders_it() -> None:
    loaded = load(GENERATIONS / "0.json")
    assert loaded.warnings == []
    assert only(loaded) == BridgeSettings(
        name="jmap2nats",
        mailboxes_bucket=None,
        jmap=JmapSettings(
            url="https://api.fastmail.com/jmap/session",
            token=Secret(file=Path("/etc/jmap2nats/secrets/token")),
        ),
        nats=NatsSettings(
            url="nats://nats:4222", nkey_seed=Secret(file=Path("/etc/jmap2nats/secrets/nats.nk"))
        ),
        stream=EmailStreamSettings(externally_managed=True),
    )


def test_the_third_generation_is_read_and_what_nats_refuses_is_mended() -> None:
    loaded = load(GENERATIONS / "1.json")
    assert loaded.warnings == [
        "stream.dedup_window 24h0m0s is longer than stream.max_age, which NATS refuses: 1h0m0s is used"
    ]
    assert only(loaded) == BridgeSettings(
        name="jmap2nats",
        mailboxes_bucket=None,
        jmap=JmapSettings(
            url="https://api.fastmail.com/jmap/session",
            token=Secret(file=Path("/etc/jmap2nats/secrets/token")),
        ),
        nats=NatsSettings(
            url="nats://nats-0:4222,nats://nats-1:4222",
            user=Secret(file=Path("/etc/jmap2nats/secrets/nats.user")),
            password=Secret(file=Path("/etc/jmap2nats/secrets/nats.password")),
        ),
        stream=EmailStreamSettings(
            name="INBOX", subject_prefix="jmap", max_age_s=3600.0, dedup_window_s=3600.0
        ),
        parts=PartsSettings(bucket="inbox-parts"),
        cursor=CursorSettings(bucket="INBOX_STATE"),
        snapshot=SnapshotSettings(limit=20),
        replicas=3,
        # The stream takes everything below "jmap": what we add must be elsewhere.
        dlq=DlqSettings(subject_prefix="jmap-dlq"),
        monitor=MonitorSettings(heartbeat_prefix="jmap-hb", control_prefix="jmap-ctl"),
        state_bucket="INBOX_BRIDGE",
    )


def test_the_defaults_are_those_of_jmap2nats(loaded: Write) -> None:
    settings = only(loaded())
    assert settings == BridgeSettings(
        name="jmap2nats",
        mailboxes_bucket=None,
        jmap=JmapSettings(url="https://jmap.example/session", token=Secret(file=Path("/token"))),
    )
    assert settings.wire == "auto"
    assert not settings.events.enabled
    assert settings.monitor.listen is None


def test_the_printed_template_is_that_of_jmap2nats_and_can_be_loaded(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(template())
    assert template() == (GENERATIONS / "template.json").read_text().rstrip("\n")
    loaded = load(file)  # without .json the first character tells what it is
    assert loaded.warnings == []
    assert only(loaded).jmap.token == Secret(file=Path("/etc/jmap2nats/token"))
    assert only(loaded).cursor_bucket == "JMAP_EMAILS_CURSOR"


def test_what_was_renamed_gives_way_to_its_new_name(loaded: Write) -> None:
    found = loaded(
        jmap__token="old",
        stream__retention="1h",
        stream__max_age="48h",
        nats__creds="/old",
        nats__creds_file="/n",
    )
    assert only(found).jmap.token == Secret(file=Path("/token"))
    assert only(found).stream.max_age_s == 48 * 3600
    assert only(found).nats.creds == Path("/n")
    assert found.warnings == [
        "jmap.token is ignored, because token_file is set",
        "nats.creds is ignored, because another way to authenticate is set",
        "stream.retention is ignored, because max_age is set",
    ]


def test_keys_are_read_without_regard_to_case_and_null_is_not_given(loaded: Write) -> None:
    found = loaded(
        stream={"NAME": "X", "Max_Age": "1h", "max_bytes": None}, Cursor=None, JetStream_Replicas=3,
        stream__Dedup_Window="0.5h",
    )  # fmt: skip
    stream = only(found).stream
    assert (stream.name, stream.max_age_s, stream.max_bytes) == ("X", 3600.0, 64 * MIB)
    assert (stream.dedup_window_s, only(found).replicas) == (1800.0, 3)
    assert found.warnings == []


def test_unknown_keys_are_told_with_their_path_and_ignored(loaded: Write) -> None:
    found = loaded(replicas=3, stream__max_agee="1h", extra={"a": 1}, parts__x=[1])
    assert found.warnings == [
        "stream.max_agee is unknown, and ignored - did you mean stream.max_age?",
        "parts.x is unknown, and ignored",
        "replicas is unknown, and ignored - did you mean jetstream_replicas?",
        "extra is unknown, and ignored",
    ]
    assert only(found).replicas == 1


def test_a_stream_may_have_a_name_that_no_bucket_can_have(loaded: Write) -> None:
    settings = only(loaded(stream__name="mail+news"))
    assert (settings.cursor_bucket, settings.state_bucket) == ("mail_news_CURSOR", "mail_news_BRIDGE")


def test_a_window_of_zero_is_what_the_server_takes(loaded: Write) -> None:
    assert only(loaded(stream__dedup_window="0s")).stream.dedup_window_s == 120.0
    assert only(loaded(stream__dedup_window="0", stream__max_age="1m")).stream.dedup_window_s == 60.0


def test_the_path_of_credentials_is_expanded_as_the_go_library_does(
    loaded: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/srv/bridge")
    assert only(loaded(nats__creds_file="~/nats.creds")).nats.creds == Path("/srv/bridge/nats.creds")
    assert only(loaded(nats__creds_file="$HOME/nats.creds")).nats.creds == Path("/srv/bridge/nats.creds")


def test_a_name_for_the_user_may_stand_in_the_file(loaded: Write) -> None:
    nats = only(loaded(nats__user="bridge", nats__password_file="/p")).nats
    assert (nats.user, nats.password) == ("bridge", Secret(file=Path("/p")))


ONE_WAY = "nats: choose at most one of token_file, user/password_file, creds_file, or nkey_seed_file"
TOGETHER = "nats.user/user_file and nats.password_file must be set together"
PROBLEMS: list[tuple[dict[str, Any], str]] = [
    ({"jmap__session_url": ""}, "jmap.session_url is required"),
    ({"jmap": None}, "jmap.session_url is required; jmap.token_file is required"),
    ({"jmap__token_file": ""}, "jmap.token_file is required"),
    ({"jmap__token_file": ["secret"]}, "jmap.token_file: expected a string; jmap.token_file is required"),
    ({"jmap__account_id": "a b"}, 'jmap.account_id "a b" is no id of JMAP: letters, digits, _ and - only'),
    (
        {"jmap__session_url": "https://x/ y"},
        "jmap.session_url is no URL: there is a space or a line break in it",
    ),
    ({"nats__url": ""}, "nats.url is required"),
    ({"nats__user": "u", "nats__user_file": "/u"}, "nats: set at most one of user or user_file"),
    ({"nats__user": "u"}, TOGETHER),
    ({"nats__user_file": "/u"}, TOGETHER),
    ({"nats__password_file": "/p"}, TOGETHER),
    ({"nats__token_file": "/t", "nats__creds_file": "/c"}, ONE_WAY),
    ({"nats__nkey_seed_file": "/t", "nats__creds_file": "/c"}, ONE_WAY),
    ({"nats__user": "u", "nats__password_file": "/p", "nats__nkey_seed_file": "/n"}, ONE_WAY),
    ({"stream__name": ""}, "stream.name is required"),
    ({"stream__subject_prefix": ""}, "stream.subject_prefix is required"),
    ({"stream__max_bytes": 0}, "stream.max_bytes must be positive"),
    ({"stream__max_bytes": "-1MiB"}, "stream.max_bytes must be positive"),
    ({"stream__max_bytes": 1.5}, 'stream.max_bytes: expected a size such as 67108864 or "64MiB", got 1.5'),
    (
        {"stream__max_bytes": "64mib"},
        "stream.max_bytes: expected a size: a number of octets, or one with B, KiB, MiB, GiB, KB, MB or GB, "
        'got "64mib"',
    ),
    ({"stream__max_age": "0s"}, "stream.max_age must be positive"),
    ({"stream__max_age": "-1h"}, "stream.max_age must be positive"),
    ({"stream__max_age": "1ms"}, "stream.max_age must be at least 100ms, or NATS refuses it"),
    ({"stream__max_age": 3600}, 'stream.max_age: expected a duration such as "168h" or "1h30m", got 3600'),
    (
        {"stream__max_age": "7d"},
        'stream.max_age: expected a duration such as "168h" or "1h30m", got "7d" (unknown unit "d")',
    ),
    ({"stream__dedup_window": "-1s"}, "stream.dedup_window must not be negative"),
    ({"stream__dedup_window": "50ms"}, "stream.dedup_window must be at least 100ms, or NATS refuses it"),
    ({"stream__externally_managed": "yes"}, 'stream.externally_managed: expected true or false, got "yes"'),
    (
        {"stream__name": "A.B"},
        'stream.name "A.B" is no name of a stream: no spaces, no . * > / \\, at most 255 characters',
    ),
    (
        {"stream__subject_prefix": "jmap..email"},
        'stream.subject_prefix "jmap..email" is no subject: words with . between them, without spaces, * or >',
    ),
    (
        {"stream__subject_prefix": "$JS.mail"},
        'stream.subject_prefix "$JS.mail" is no subject: those with $ are the server\'s own',
    ),
    (
        {"stream__subject_prefix": "{account}"},
        'stream.subject_prefix "{account}" is no subject: only {account} can stand in braces, and only in a route',
    ),
    ({"parts__bucket": ""}, "parts.bucket is required"),
    (
        {"parts__bucket": "my parts"},
        'parts.bucket "my parts" is no name of a bucket: letters, digits, _ and - only',
    ),
    ({"parts__max_bytes": 0}, "parts.max_bytes must be positive"),
    ({"parts__max_per_part": "0B"}, "parts.max_per_part must be positive"),
    ({"cursor__bucket": "a.b"}, 'cursor.bucket "a.b" is no name of a bucket: letters, digits, _ and - only'),
    (
        {"cursor__bucket": "JMAP_BRIDGE"},
        'state_bucket is "JMAP_BRIDGE", and so is cursor.bucket: each needs its own',
    ),
    ({"jetstream_replicas": 0}, "jetstream_replicas must be at least 1"),
    ({"jetstream_replicas": 7}, "jetstream_replicas must be at most 5, the most that NATS has"),
    ({"backfill_limit": 0}, "backfill_limit must be positive"),
    ({"backfill_limit": "100"}, 'backfill_limit: expected a whole number, got "100"'),
    ({"stream": []}, "stream: expected an object, got a list"),
    (
        {"nats__url": "", "parts__max_bytes": "x", "backfill_limit": True},
        "nats.url is required; parts.max_bytes: expected a size: a number of octets, or one with B, KiB, MiB, "
        'GiB, KB, MB or GB, got "x"; backfill_limit: expected a whole number, got true',
    ),
]


@pytest.mark.parametrize(("changes", "said"), PROBLEMS)
def test_everything_wrong_is_told_in_one_line_with_file_and_key(
    changes: dict[str, Any], said: str, loaded: Write, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as raised:
        loaded(**changes)
    assert str(raised.value) == f"invalid config {tmp_path}/jmap2nats.json: {said}"


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b'{"jmap": {"token": "s3cret" x', "parse config {}: line 1, column 29: Expecting ',' delimiter"),
        (b"", "parse config {}: line 1, column 1: Expecting value"),
        (b"[]", "parse config {}: expected a JSON object"),
        (b'"\xff"', "parse config {}: it is not text (UTF-8)"),
        (b"[" * 100_000, "parse config {}: nested too deeply"),
        (None, "read config {}: No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_without_what_is_in_it(
    octets: bytes | None, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "jmap2nats.json"
    if octets is not None:
        file.write_bytes(octets)
    with pytest.raises(ConfigError) as raised:
        load(file)
    assert str(raised.value) == said.format(file)


def test_a_password_in_the_url_of_nats_is_taken_and_not_shown(loaded: Write) -> None:
    settings = only(loaded(nats__url="nats://bridge:s3cret@nats:4222"))
    assert settings.nats.url == "nats://bridge:s3cret@nats:4222"
    assert public_json(settings)["nats"]["url"] == "nats://nats:4222"
