"""What tests of destroyed mail and of retention share."""

from datetime import UTC, datetime, timedelta
from typing import Any

from jmap import Jmap, message
from veredus.app import App
from veredus.mail.audit import audit
from veredus.mail.retention import Retention
from veredus.mail.undelete import Undelete
from veredus.maintenance import Maintenance

UNDELETE = "urn:veredus:jmap:undelete"
RETENTION = "urn:veredus:jmap:retention"
WEEK = timedelta(days=7)


def use(user: Jmap) -> Jmap:
    user.using += [UNDELETE, RETENTION]
    return user


async def destroyed(user: Jmap, subject: str = "Hello", **more: Any) -> tuple[Any, Any]:
    """An Email as it was, and the DestroyedEmail that it has become."""
    made = await user.import_email(message(subject), **more)
    email = await user.get("Email", made["id"])
    before = await user.state("DestroyedEmail")
    await user.set("Email", destroy=[email["id"]])
    changes = await user.call("DestroyedEmail/changes", sinceState=before)
    [id] = changes["created"]
    return email, await user.get("DestroyedEmail", id)


async def restore(user: Jmap, *ids: str, **args: Any) -> Any:
    return await user.call("DestroyedEmail/restore", ids=list(ids), **args)


async def consistent(user: Jmap) -> None:
    """Counters, Threads and quota agree with the Emails."""
    async with user.app.store.read(user.account) as snapshot:
        assert [line async for line in audit(snapshot)] == []


class Clock:
    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def now(self) -> datetime:
        return self.time


async def maintain(app: App, *, later: timedelta, life: timedelta = WEEK) -> None:
    """A round of maintenance as it will be after that time."""
    clock = Clock()
    clock.time += later
    kept = Undelete(app.admission, life)
    upkeep = Retention(app.store, kept, app.admission.charge).round
    assert await Maintenance(app.store, app.blobs, clock, upkeep).round() is not None
