"""Every setting of Veredus: its name, type, default, meaning and bounds.

A setting is a field ``Annotated[<type>, Setting("meaning")]``; a field whose type is one of the classes
here or in ``mail_settings`` is a section. `explain`, `example`, `schema` and docs/configuration.md are all
derived from them.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from veredus.config import checks
from veredus.config.kinds import GIB, MIB, Duration, Size
from veredus.config.mail_settings import (
    Dns,
    Incoming,
    Lmtp,
    Mail,
    Outgoing,
    Retention,
    Sieve,
    Smtp,
    Submission,
)
from veredus.config.setting import Setting, limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    """The JMAP API, uploads, downloads, health and metrics."""

    listen: Annotated[
        tuple[str, ...],
        Setting("Addresses to listen on, `host:port` or `[ipv6]:port`.", check=checks.address),
    ] = ("127.0.0.1:8580",)
    public_url: Annotated[
        str | None,
        Setting(
            "Where clients reach this server, for the URLs of the session object. "
            "Not set: the host that each request names.",
            check=checks.http_url,
        ),
    ] = None
    trusted_proxies: Annotated[
        tuple[str, ...],
        Setting(
            "Addresses or networks of reverse proxies whose `X-Forwarded-*` headers are believed.",
            check=checks.network,
        ),
    ] = ()
    cors_origins: Annotated[
        tuple[str, ...],
        Setting(
            "Origins whose web pages may call this server, such as `https://mail.example.com`. "
            "`*`: every origin.",
            check=checks.origin,
        ),
    ] = ()
    drain: Annotated[
        Duration,
        Setting(
            "How long a server that was told to stop goes on serving while `/readyz` says 503, so that a "
            "load balancer has time to send clients elsewhere.",
            minimum=0,
            maximum=3600,
        ),
    ] = Duration(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """TLS on the HTTP listeners, when no reverse proxy does it."""

    mode: Annotated[
        Literal["off", "files"],
        Setting("`off`: plain HTTP, for loopback or behind a proxy. `files`: TLS with `cert` and `key`."),
    ] = "off"
    cert: Annotated[Path | None, Setting("PEM file with the certificate and its chain.")] = None
    key: Annotated[Path | None, Setting("PEM file with the private key.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Where records are kept."""

    url: Annotated[
        str,
        Setting(
            "`sqlite`: a database in `data_dir`. `postgresql://user:password@host/database`: PostgreSQL, for "
            "several machines; several hosts may be named, with a comma between them. `memory`: nothing "
            "survives the process; for tests.",
            check=checks.storage_url,
        ),
    ] = "sqlite"
    replicas: Annotated[
        tuple[str, ...],
        Setting(
            "URLs of read-only copies of the PostgreSQL database. One is read only where it has the "
            "account's newest state.",
            check=checks.postgres_url,
        ),
    ] = ()
    schema: Annotated[
        str,
        Setting("The schema of the tables in the PostgreSQL database; it is made.", check=checks.schema),
    ] = "veredus"
    connections: Annotated[
        int,
        Setting(
            "Connections to PostgreSQL of each process, for reading; as many again at most for writing.",
            minimum=1,
            maximum=1000,
        ),
    ] = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Blobs:
    """Where messages and uploads are kept."""

    url: Annotated[
        str,
        Setting(
            "`file`: files in `data_dir`. `s3://bucket/prefix`: an S3-compatible store, for several "
            "machines. `memory`: nothing survives the process; for tests.",
            check=checks.blobs_url,
        ),
    ] = "file"
    endpoint: Annotated[
        str | None,
        Setting("Where the S3-compatible store is reached. Not set: Amazon's.", check=checks.http_url),
    ] = None
    region: Annotated[str, Setting("The region of the bucket.")] = "us-east-1"
    access_key: Annotated[
        str | None,
        Setting(
            "The access key id for S3. Not set: what the environment or the machine's role gives "
            "(`AWS_ACCESS_KEY_ID` and others)."
        ),
    ] = None
    secret_key: Annotated[str | None, Setting("The secret that belongs to `access_key`.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client may ask for. The session object announces these (RFC 8620 §2, RFC 8621 §1.3.1)."""

    max_size_upload: Annotated[Size, limit("The largest upload (maxSizeUpload).")] = Size(50 * MIB)
    max_concurrent_upload: Annotated[int, limit("Uploads at a time from one user (maxConcurrentUpload).")] = 8
    max_size_request: Annotated[Size, limit("The largest API request (maxSizeRequest).", 1024)] = Size(
        10 * MIB
    )
    max_concurrent_requests: Annotated[
        int, limit("API requests at a time from one user (maxConcurrentRequests).")
    ] = 8
    max_streams: Annotated[
        int, limit("Open EventSource and WebSocket connections of one user, in each process.")
    ] = 20_000
    max_calls_in_request: Annotated[int, limit("Method calls in one request (maxCallsInRequest).")] = 64
    max_objects_in_get: Annotated[int, limit("Objects of one /get (maxObjectsInGet).")] = 1000
    max_objects_in_set: Annotated[
        int, limit("Objects created, updated and destroyed in one /set (maxObjectsInSet).")
    ] = 1000
    max_mailboxes_per_email: Annotated[
        int | None, limit("Mailboxes that one Email may be in (maxMailboxesPerEmail). `none`: no limit.")
    ] = None
    max_mailbox_depth: Annotated[
        int | None, limit("Levels of Mailboxes (maxMailboxDepth). `none`: no limit.")
    ] = 20
    max_size_mailbox_name: Annotated[
        int,
        limit(
            "The longest name of a Mailbox in UTF-8 octets (maxSizeMailboxName). RFC 8621 asks for "
            "100 at least.",
            100,
        ),
    ] = 490
    max_size_attachments_per_email: Annotated[
        Size, limit("All attachments of an Email together (maxSizeAttachmentsPerEmail).")
    ] = Size(50 * MIB)
    max_keywords_per_email: Annotated[int, limit("Keywords of one Email.")] = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """What a new account may use; `veredus account quota` changes it for one account (RFC 9425)."""

    default_octets: Annotated[Size | None, limit("Octets of mail in an account. `none`: no limit.", 0)] = (
        Size(10 * GIB)
    )
    default_messages: Annotated[int | None, limit("Emails in an account. `none`: no limit.", 0)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth:
    """How users prove who they are."""

    cache_ttl: Annotated[
        Duration,
        Setting(
            "How long a verified password is remembered, as a keyed hash, so that not each request pays for "
            "argon2id. `0s`: not at all.",
            minimum=0,
            maximum=86_400,
        ),
    ] = Duration(300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bus:
    """How processes tell one another of changes, so that push is immediate."""

    url: Annotated[
        str | None,
        Setting(
            "A NATS server, such as `nats://token@10.0.0.5:4222`. Not set: changes are told within one "
            "process; with several `workers` a nats-server of their own is started.",
            check=checks.nats_url,
        ),
    ] = None
    prefix: Annotated[
        str, Setting("The first token of the NATS subjects: one for each cluster.", check=checks.subject)
    ] = "veredus"


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """Web push: the URLs that clients register to be told of changes (RFC 8620 §7.2, RFC 8030)."""

    contact: Annotated[
        str | None,
        Setting(
            "Who runs this server, for push services: a `mailto:` or `https:` URI (RFC 8292 §2.1). Some push "
            "services refuse a server that names nobody. Not set: `mailto:postmaster@` and `hostname`.",
            check=checks.contact,
        ),
    ] = None
    allow: Annotated[
        tuple[str, ...],
        Setting(
            "Networks that push URLs may lead into although they are not public, such as `10.1.0.0/16`; "
            "for these `http:` is allowed, too.",
            check=checks.network,
        ),
    ] = ()
    ca_file: Annotated[
        Path | None, Setting("PEM file with certification authorities to trust besides the system's.")
    ] = None
    max_subscriptions: Annotated[int, limit("Push subscriptions of one user.")] = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What is written to standard error. The content of messages never is."""

    format: Annotated[
        Literal["auto", "text", "json"], Setting("`auto`: text on a terminal, JSON lines otherwise.")
    ] = "auto"
    level: Annotated[
        Literal["debug", "info", "warning", "error"], Setting("The least important lines to write.")
    ] = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Prometheus metrics."""

    enabled: Annotated[bool, Setting("Whether `/metrics` is served.")] = True
    listen: Annotated[
        str | None,
        Setting("An address for `/metrics` alone. Not set: on the HTTP listeners.", check=checks.address),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that can be set."""

    hostname: Annotated[
        str,
        Setting(
            "The name of this server, for SMTP greetings, `Received` fields and Message-IDs.",
            check=checks.hostname,
        ),
    ] = "localhost"
    data_dir: Annotated[
        Path, Setting("The directory of everything that is kept: database, messages, keys.")
    ] = Path("/var/lib/veredus")
    workers: Annotated[
        int,
        Setting("Processes that serve together, on the same addresses.", minimum=1, maximum=256),
    ] = 1
    http: Http = field(default_factory=Http)
    tls: Tls = field(default_factory=Tls)
    smtp: Smtp = field(default_factory=Smtp)
    lmtp: Lmtp = field(default_factory=Lmtp)
    submission: Submission = field(default_factory=Submission)
    outgoing: Outgoing = field(default_factory=Outgoing)
    incoming: Incoming = field(default_factory=Incoming)
    sieve: Sieve = field(default_factory=Sieve)
    retention: Retention = field(default_factory=Retention)
    dns: Dns = field(default_factory=Dns)
    storage: Storage = field(default_factory=Storage)
    blobs: Blobs = field(default_factory=Blobs)
    limits: Limits = field(default_factory=Limits)
    quota: Quota = field(default_factory=Quota)
    auth: Auth = field(default_factory=Auth)
    mail: Mail = field(default_factory=Mail)
    bus: Bus = field(default_factory=Bus)
    push: Push = field(default_factory=Push)
    log: Log = field(default_factory=Log)
    metrics: Metrics = field(default_factory=Metrics)
