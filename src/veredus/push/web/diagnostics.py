"""What people ask of push subscriptions: which there are, how delivery goes, and whether a URL answers."""

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from veredus.ports import Store
from veredus.push.web import message, records
from veredus.push.web.device import target_of
from veredus.push.web.records import Progress, Record
from veredus.push.web.sender import PushSender
from veredus.push.web.vapid import Vapid
from veredus.wire.types import Id

_TEST_TTL_S = 60


async def listing(store: Store, account: Id, user: str | None) -> list[dict[str, Any]]:
    """The subscriptions kept in ``account`` (of one user), with how delivery goes; ready for JSON.

    Of a URL only the host is told: whoever knows the rest can push to the device.
    """
    async with store.read(account) as snapshot:
        found = await (records.load(snapshot) if user is None else records.of_user(snapshot, user))
        progress = await records.progress_of(snapshot, [record.id for record in found])
    return [_described(record, progress.get(record.id, Progress(id=record.id))) for record in found]


def _described(record: Record, progress: Progress) -> dict[str, Any]:
    return {
        "id": record.id,
        "user": record.user,
        "deviceClientId": record.device_client_id,
        "host": urlsplit(record.url).hostname,
        "isEncrypted": record.keys is not None,
        "isVerified": record.is_verified,
        "expires": record.expires,
        "types": record.types,
        "emailPush": sorted(record.email_push or ()),
        "attempted": progress.attempted,
        "outcome": progress.outcome,
        "failures": progress.failures,
        "nextAttempt": progress.next_attempt,
    }


async def test(
    store: Store, account: Id, sender: PushSender, vapid: Vapid, user: str, now: datetime
) -> list[tuple[dict[str, Any], str | None, bool]]:
    """Send each verified subscription of a user a StateChange in which nothing has changed.

    By subscription as ``listing`` has it: what came of it, and whether it was delivered. None: it is not
    verified, so nothing may be sent.
    """
    async with store.read(account) as snapshot:
        found = await records.of_user(snapshot, user)
    outcomes: list[tuple[dict[str, Any], str | None, bool]] = []
    for record in found:
        key = vapid.by_id(record.vapid)
        outcome, is_delivered = None, False
        if key is None:
            outcome = "the VAPID key that it was made with is no longer kept"
        elif records.moment(record.expires) <= now:
            outcome = "it has expired, so nothing may be sent"
        elif record.is_verified:
            target = target_of(record, key)
            sent = await sender.send(target, message.test_change(), ttl=_TEST_TTL_S, urgency="normal")
            outcome, is_delivered = sent.detail, sent.kind == "delivered"
        outcomes.append((_described(record, Progress(id=record.id)), outcome, is_delivered))
    return outcomes
