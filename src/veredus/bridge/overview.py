"""What NATS knows of a bridge, whether one runs or not: for `bridge status`."""

import base64
import binascii
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import msgspec

from veredus.bridge import control
from veredus.bridge.monitor.heartbeat import age_s, infos, parked_on
from veredus.bridge.nats.errors import Missing
from veredus.bridge.nats.jetstream import last_message, stream_info
from veredus.bridge.nats.kv import KeyValue
from veredus.bridge.nats.link import Link
from veredus.bridge.settings import BridgeSettings
from veredus.bridge.streams import wanted
from veredus.wire.types import Id, JsonObject

# A process that has not told of itself for so many heartbeats is taken for dead; one that is late by so much
# of one has trouble, at least.
_DEAD, _SILENT = 2, 1.2


async def overview(link: Link, settings: BridgeSettings) -> JsonObject:
    """As JSON. Raises NatsError, but not for what is missing: a bridge that never ran has nothing."""
    accounts = await _accounts(link, settings)
    return {
        "bridge": settings.name,
        "nats": link.server,
        "natsVersion": ".".join(map(str, link.features.version)),
        "instances": await _instances(link, settings),
        "accounts": accounts,
        "streams": [await _stream(link, resource.name, resource.about) for resource, _ in wanted(settings)],
    }


async def _instances(link: Link, settings: BridgeSettings) -> list[JsonObject]:
    """The processes that live, and those that ended without saying so."""
    now = datetime.now(UTC)
    try:
        found = await infos(KeyValue(link, settings.state_bucket))
    except Missing:
        return []
    every_s = settings.monitor.heartbeat_s
    return [
        {
            **info,
            "alive": age_s(info, now) <= every_s * _DEAD,
            "isSilent": age_s(info, now) > every_s * _SILENT,
            "heardSeconds": round(max(0.0, age_s(info, now)), 1),
        }
        for info in found.values()
        if info.get("bridge") == settings.name and "at" in info
    ]


async def _accounts(link: Link, settings: BridgeSettings) -> dict[Id, JsonObject]:
    found: dict[Id, dict[str, Any]] = {}

    def account(id: Id) -> dict[str, Any]:
        nothing = {"cursor": None, "lease": None, "pausedSince": None, "parked": 0}
        return found.setdefault(id, {**nothing, "checkpoints": {}, "snapshots": {}})

    for id, state in (await _cursors(KeyValue(link, settings.cursor_bucket))).items():
        account(id)["cursor"] = state
    try:
        await _of_state(KeyValue(link, settings.state_bucket), account)
    except Missing:
        return found
    try:
        for id, count in (await parked_on(link, settings.dlq)).items():
            account(id)["parked"] = count
    except Missing:
        pass
    return found


async def _cursors(kv: KeyValue) -> dict[Id, str]:
    """Those that jmap2nats has, too: the account id encoded, or as it is."""
    found: dict[Id, str] = {}
    try:
        async with aclosing(kv.entries()) as entries:
            async for entry in entries:
                found[_account_of(entry.key)] = (entry.value or b"").decode("utf-8", "replace")
    except Missing:
        return {}
    return found


def _account_of(key: str) -> Id:
    encoded = key.removeprefix("account.")
    if encoded == key:
        return key
    try:
        return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return key


async def _of_state(kv: KeyValue, account: Any) -> None:
    for id, since in (await control.paused(kv)).items():
        account(id)["pausedSince"] = since
    async with aclosing(kv.entries()) as entries:
        async for entry in entries:
            kind, _, rest = entry.key.partition(".")
            value = (entry.value or b"").decode("utf-8", "replace")
            match kind, rest.split("."):
                case ("lease", [id]):
                    account(id)["lease"] = await _lease(kv, entry.key)
                case ("ckpt", [id, type]):
                    account(id)["checkpoints"][type] = value
                case ("snap", [id, pipeline, type]):
                    account(id)["snapshots"][f"{pipeline}/{type}"] = _decoded(value)


async def _lease(kv: KeyValue, key: str) -> JsonObject | None:
    """Who has it, and when that was last renewed, by the clock of NATS."""
    message = await last_message(kv.link, kv.stream, f"$KV.{kv.bucket}.{key}")
    if message is None:
        return None
    holder = _decoded(message.data.decode("utf-8", "replace"))
    renewed = datetime.fromisoformat(message.time)
    age = (datetime.now(UTC) - renewed).total_seconds()
    return {
        "instance": holder.get("instance"),
        "since": holder.get("since"),
        "renewedSeconds": round(max(0.0, age), 1),
    }


def _decoded(value: str) -> JsonObject:
    try:
        return msgspec.json.decode(value, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}


async def _stream(link: Link, name: str, about: str) -> JsonObject:
    try:
        info = await stream_info(link, name)
    except Missing:
        return {"name": name, "about": about, "exists": False}
    return {
        "name": name,
        "about": about,
        "exists": True,
        "messages": info.messages,
        "bytes": info.octets,
        "maxBytes": info.config.get("max_bytes", -1),
        "firstSequence": info.first_sequence,
        "lastSequence": info.last_sequence,
    }
