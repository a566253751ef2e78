"""What ``jmap2nats -print-config`` prints: the defaults, as a configuration to begin with."""

import json
from typing import Any

from veredus.bridge.config.grammar import format_duration, format_size
from veredus.bridge.settings import (
    BridgeSettings,
    EmailStreamSettings,
    JmapSettings,
    NatsSettings,
    PartsSettings,
)


def template() -> str:
    """The text of jmap2nats 1.0, octet for octet; without the newline at the end."""
    stream, parts = EmailStreamSettings(), PartsSettings()
    settings = BridgeSettings(name="template", jmap=JmapSettings(url="https://api.fastmail.com/jmap/session"))
    unset = dict.fromkeys(
        ("token_file", "user", "user_file", "password_file", "creds_file", "nkey_seed_file"), ""
    )
    config: dict[str, Any] = {
        "jmap": {"session_url": settings.jmap.url, "token_file": "/etc/jmap2nats/token", "account_id": ""},
        "nats": {"url": NatsSettings().url, **unset},
        "stream": {
            "name": stream.name,
            "subject_prefix": stream.subject_prefix,
            "max_age": format_duration(stream.max_age_s),
            "max_bytes": format_size(stream.max_bytes),
            "dedup_window": format_duration(stream.dedup_window_s),
            "externally_managed": stream.externally_managed,
        },
        "parts": {
            "bucket": parts.bucket,
            "max_bytes": format_size(parts.max_bytes),
            "max_per_part": format_size(parts.max_per_part),
        },
        "cursor": {"bucket": settings.cursor_bucket},
        "jetstream_replicas": settings.replicas,
        "backfill_limit": settings.snapshot.limit,
    }
    return json.dumps(config, indent=2)
