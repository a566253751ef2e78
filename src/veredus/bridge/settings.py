"""What one bridge is told: which accounts it reads, and where in NATS it writes.

Values are plain; ``bridge.config`` makes them from ``jmap2nats.json`` (all generations) and from TOML.
Sizes are in octets, times in seconds.
"""

from pathlib import Path
from typing import Literal, TypeAlias

from msgspec import Struct

Wire: TypeAlias = Literal["0a", "0", "1"]
GiB, MiB = 1024**3, 1024**2
HOUR_S, DAY_S = 3600.0, 86400.0


class Secret(Struct, frozen=True):
    """A secret by reference: a file, or a variable of the environment. Read at each use: it may rotate.

    ``member``: the file is JSON, and this path in it (``jmap.token``) leads to the secret: the first
    generation of jmap2nats kept the token in its configuration.
    """

    file: Path | None = None
    env: str | None = None
    member: str | None = None


class JmapSettings(Struct, frozen=True, kw_only=True):
    """``url``: a Session resource, or an address or domain to discover it from. ``accounts`` are ids;
    empty: the primary account for mail; ``*``: all that have mail."""

    url: str
    token: Secret | None = None
    user: str | None = None
    password: Secret | None = None
    accounts: tuple[str, ...] = ()
    tls_ca: Path | None = None
    timeout_s: float = 60.0


class NatsSettings(Struct, frozen=True, kw_only=True):
    """At most one way to authenticate: ``token``, ``user`` with ``password``, ``creds``, ``nkey_seed``."""

    url: str = "nats://localhost:4222"
    token: Secret | None = None
    user: Secret | str | None = None
    password: Secret | None = None
    creds: Path | None = None
    nkey_seed: Secret | None = None
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None


class EmailStreamSettings(Struct, frozen=True, kw_only=True):
    """The stream that jmap2nats has, too. Not ``enabled``: only JMAP_EVENTS is written."""

    enabled: bool = True
    name: str = "JMAP_EMAILS"
    subject_prefix: str = "jmap.email"
    max_age_s: float = 168 * HOUR_S
    max_bytes: int = 64 * MiB
    dedup_window_s: float = 24 * HOUR_S
    externally_managed: bool = False


class EventStreamSettings(Struct, frozen=True, kw_only=True):
    """``types``: empty: all that the account has. ``before``: where old values are kept, for differences."""

    enabled: bool = False
    name: str = "JMAP_EVENTS"
    subject_prefix: str = "jmap.event"
    types: tuple[str, ...] = ()
    max_age_s: float = 168 * HOUR_S
    max_bytes: int = 256 * MiB
    dedup_window_s: float = 24 * HOUR_S
    externally_managed: bool = False
    before: Literal["kv", "memory", "none"] = "kv"
    state_bucket: str = "JMAP_STATE"


class PartsSettings(Struct, frozen=True, kw_only=True):
    """``on_full``: evict the oldest parts, publish with an error as jmap2nats does, mark as skipped, or
    park the Email in the dead-letter stream. ``raw``: keep the whole message, too."""

    bucket: str = "email-parts"
    max_bytes: int = 960 * MiB
    max_per_part: int = 25 * MiB
    mode: Literal["all", "attachments", "text", "none"] = "all"
    on_full: Literal["evict-oldest", "error", "skip", "park"] = "evict-oldest"
    raw: bool = False


class CursorSettings(Struct, frozen=True, kw_only=True):
    """``bucket`` None: the name of the Email stream with ``_CURSOR``, as jmap2nats has it."""

    bucket: str | None = None


class DlqSettings(Struct, frozen=True, kw_only=True):
    """The dead-letter stream: what failed ``max_attempts`` times is parked there."""

    name: str = "JMAP_DLQ"
    subject_prefix: str = "jmap.dlq"
    max_age_s: float = 90 * DAY_S
    max_bytes: int = 256 * MiB
    max_attempts: int = 5


class SnapshotSettings(Struct, frozen=True, kw_only=True):
    """What to read when there is no cursor, or the server cannot calculate changes from it.

    ``none``: nothing old; ``recent``: the newest ``limit``; ``full``: everything; ``when_needed``: recent at
    the first start, everything when the server cannot calculate.
    """

    mode: Literal["none", "recent", "full", "when_needed"] = "when_needed"
    limit: int = 100


class RouteSettings(Struct, frozen=True, kw_only=True):
    """One more copy of what ``match`` (search grammar) selects; ``subject`` may hold ``{account}``."""

    match: str
    subject: str


class FilterSettings(Struct, frozen=True, kw_only=True):
    """Which Emails become events at all; both are in the search grammar, empty: no rule."""

    include: str = ""
    exclude: str = ""


class MonitorSettings(Struct, frozen=True, kw_only=True):
    """``listen``: host:port for /healthz, /readyz and /metrics; None: no port."""

    listen: str | None = None
    max_lag_s: float = 300.0
    heartbeat_s: float = 30.0
    heartbeat_prefix: str = "jmap.hb"
    control_prefix: str = "jmap.ctl"
    control: bool = True


class BridgeSettings(Struct, frozen=True, kw_only=True):
    """One server read into one NATS. ``extra_headers``: CloudEvents and what jmap2nats does not have."""

    name: str
    jmap: JmapSettings
    wire: Literal["auto", "0a", "0", "1"] = "auto"
    nats: NatsSettings = NatsSettings()
    stream: EmailStreamSettings = EmailStreamSettings()
    events: EventStreamSettings = EventStreamSettings()
    parts: PartsSettings = PartsSettings()
    cursor: CursorSettings = CursorSettings()
    dlq: DlqSettings = DlqSettings()
    snapshot: SnapshotSettings = SnapshotSettings()
    filter: FilterSettings = FilterSettings()
    routes: tuple[RouteSettings, ...] = ()
    replicas: int = 1
    state_bucket: str = "JMAP_BRIDGE"
    mailboxes_bucket: str | None = "JMAP_MAILBOXES"
    extra_headers: bool = True
    poll_s: float = 600.0
    lease_s: float = 12.0
    fetch_bytes: int = 4 * MiB
    concurrency: int = 8
    monitor: MonitorSettings = MonitorSettings()

    @property
    def cursor_bucket(self) -> str:
        """The KV bucket of the cursor that jmap2nats has, too."""
        return self.cursor.bucket or f"{self.stream.name}_CURSOR"
