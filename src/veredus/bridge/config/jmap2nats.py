"""``jmap2nats.json`` of each generation, as the settings of one bridge.

All keys of all generations are taken: what a later one renamed counts where the new name is not given. Go
reads JSON keys without regard to case, and takes null as not given; so does this.
"""

import difflib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from veredus.bridge.config import fields
from veredus.bridge.config.checks import check, overlap
from veredus.bridge.config.errors import Findings
from veredus.bridge.config.grammar import shown
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

T = TypeVar("T")

# What the checks of both kinds of file call otherwise.
_KEYS = {
    "replicas": "jetstream_replicas",
    "snapshot.limit": "backfill_limit",
    "jmap.accounts": "jmap.account_id",
}


def read_settings(path: Path, root: Mapping[str, object], findings: Findings) -> BridgeSettings | None:
    """None: there is a problem in ``findings``, which may hold several."""
    file = _Table("", root, findings)
    jmap, nats = _jmap(path, file.table("jmap")), _nats(file.table("nats"))
    stream, parts = _stream(file.table("stream")), _parts(file.table("parts"))
    cursor = file.table("cursor")
    settings = BridgeSettings(
        name="jmap2nats",
        jmap=jmap,
        nats=nats,
        stream=stream,
        parts=parts,
        cursor=CursorSettings(bucket=cursor.text("bucket") or _cursor_bucket(stream.name)),
        snapshot=SnapshotSettings(limit=file.get("backfill_limit", fields.whole, 100)),
        replicas=file.get("jetstream_replicas", fields.whole, 1),
        mailboxes_bucket=None,  # nothing that jmap2nats would not need, beyond what loses nothing
        # Two configurations on one NATS have two streams: what each remembers must be apart, too.
        state_bucket="JMAP_BRIDGE" if stream.name == "JMAP_EMAILS" else _bucket(f"{stream.name}_BRIDGE"),
        dlq=DlqSettings(
            name="JMAP_DLQ" if stream.name != "JMAP_DLQ" else "JMAP_DLQ_PARKED",
            subject_prefix=_apart("dlq", stream),
        ),
        monitor=MonitorSettings(heartbeat_prefix=_apart("hb", stream), control_prefix=_apart("ctl", stream)),
    )
    cursor.warn_of_the_rest()
    file.warn_of_the_rest()
    if findings.problems:
        return None
    return check(settings, findings, lambda key: _KEYS.get(key, key))


def _apart(what: str, stream: EmailStreamSettings) -> str:
    """A prefix of ours that the subjects of the stream, which the file chose, do not take in."""
    usual = f"jmap.{what}"
    return f"jmap-{what}" if overlap(usual, stream.subject_prefix) else usual


def _cursor_bucket(stream: str) -> str | None:
    """None: as always. Only the third generation had one, and so streams may be named as no bucket can be."""
    usual = f"{stream}_CURSOR"
    return _bucket(usual) if _bucket(usual) != usual else None


def _bucket(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)


def _jmap(path: Path, table: "_Table") -> JmapSettings:
    url = table.required("session_url")
    token_file, inline, account = table.text("token_file"), table.text("token"), table.text("account_id")
    token = Secret(file=Path(token_file)) if token_file else Secret(file=path, member="jmap.token")
    if not token_file and not inline:
        table.problem("token_file", "is required")
    if token_file and inline:
        table.ignored("token", "token_file")
    table.warn_of_the_rest()
    return JmapSettings(url=url, token=token, accounts=(account,) if account else ())


def _nats(table: "_Table") -> NatsSettings:
    url = table.required("url", NatsSettings().url)
    token, user, user_file = table.text("token_file"), table.text("user"), table.text("user_file")
    password, nkey = table.text("password_file"), table.text("nkey_seed_file")
    creds, old_creds = table.text("creds_file"), table.text("creds")
    if user and user_file:
        table.problem("", "set at most one of user or user_file")
    elif bool(user or user_file) != bool(password):
        table.problem("user/user_file", "and nats.password_file must be set together")
    methods = [token, user or user_file or password, creds, nkey]
    if sum(map(bool, methods)) > 1:
        table.problem(
            "", "choose at most one of token_file, user/password_file, creds_file, or nkey_seed_file"
        )
    if old_creds and any(methods):  # as in 1.0, which no longer knew the old key
        table.ignored("creds", "another way to authenticate")
    elif old_creds:
        creds = old_creds
    table.warn_of_the_rest()
    return NatsSettings(
        url=url,
        token=_file(token),
        user=user or _file(user_file),
        password=_file(password),
        # The Go library expands this path, and no other one.
        creds=Path(os.path.expandvars(creds)).expanduser() if creds else None,
        nkey_seed=_file(nkey),
    )


def _file(path: str) -> Secret | None:
    return Secret(file=Path(path)) if path else None


def _stream(table: "_Table") -> EmailStreamSettings:
    usual = EmailStreamSettings()
    retention = table.get("retention", _duration, usual.max_age_s)
    if table.has("retention") and table.has("max_age"):
        table.ignored("retention", "max_age")
    stream = EmailStreamSettings(
        name=table.required("name", usual.name),
        subject_prefix=table.required("subject_prefix", usual.subject_prefix),
        max_age_s=table.get("max_age", _duration, retention),
        max_bytes=table.get("max_bytes", fields.size, usual.max_bytes),
        dedup_window_s=table.get("dedup_window", _duration, usual.dedup_window_s),
        externally_managed=table.get("externally_managed", fields.flag, False),
    )
    table.warn_of_the_rest()
    return stream


def _parts(table: "_Table") -> PartsSettings:
    usual = PartsSettings()
    parts = PartsSettings(
        bucket=table.required("bucket", usual.bucket),
        max_bytes=table.get("max_bytes", fields.size, usual.max_bytes),
        max_per_part=table.get("max_per_part", fields.size, usual.max_per_part),
    )
    table.warn_of_the_rest()
    return parts


def _duration(value: object) -> float:
    return fields.duration(value, days=False)


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("expected a string")  # not shown: it may be a secret in the wrong place
    return value


class _Table:
    """One object of the file: hands out its values, and notes what is wrong with them."""

    def __init__(self, path: str, members: Mapping[str, object], findings: Findings) -> None:
        self._path = path
        self._findings = findings
        self._members = {key.casefold(): (key, value) for key, value in members.items() if value is not None}
        self._known: list[str] = []

    def has(self, key: str) -> bool:
        return key in self._members

    def get(self, key: str, read: Callable[[object], T], default: T) -> T:
        """The value of ``key``. Where it is missing or wrong: the default, so that reading can go on."""
        self._known.append(key)
        if key not in self._members:
            return default
        try:
            return read(self._members[key][1])
        except ValueError as error:
            self._findings.problems.append(f"{self._of(key)}: {error}")
            return default

    def text(self, key: str) -> str:
        """Empty where it is not given: jmap2nats makes no difference."""
        return self.get(key, _string, "")

    def required(self, key: str, default: str = "") -> str:
        """A string that must not be empty. ``default``: where it is not given at all."""
        noted = len(self._findings.problems)
        value = self.get(key, _string, default)
        if not value and len(self._findings.problems) == noted:
            self.problem(key, "is required")
        return value

    def table(self, key: str) -> "_Table":
        self._known.append(key)
        value = self._members.get(key, (key, {}))[1]
        if not isinstance(value, dict):
            self._findings.problems.append(f"{self._of(key)}: expected an object, got {shown(value)}")
            value = {}
        return _Table(self._of(key), value, self._findings)

    def problem(self, key: str, text: str) -> None:
        """``key`` empty: of the object as a whole."""
        self._findings.problems.append(f"{self._of(key)} {text}" if key else f"{self._path}: {text}")

    def ignored(self, key: str, other: str) -> None:
        self._findings.warnings.append(f"{self._of(key)} is ignored, because {other} is set")

    def warn_of_the_rest(self) -> None:
        """Call it when all that is known was read."""
        for name, (key, _) in self._members.items():
            if name not in self._known:
                near = difflib.get_close_matches(name, self._known, 1)
                meant = f" - did you mean {self._of(near[0])}?" if near else ""
                self._findings.warnings.append(f"{self._of(key)} is unknown, and ignored{meant}")

    def _of(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key
