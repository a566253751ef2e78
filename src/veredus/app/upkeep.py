"""What the upkeep of an app does in each round of maintenance."""

from datetime import datetime, timedelta
from functools import partial

from veredus.app.building import App
from veredus.engine.blobs import load
from veredus.mail.email.smime import Judge, review
from veredus.mail.retention import Retention
from veredus.mail.undelete import Undelete
from veredus.maintenance import Maintenance
from veredus.ports import Lease


def maintenance_of(app: App) -> Maintenance:
    """What a running server does by itself, with all that depends on the time: retention, and signatures
    whose certificates begin or cease to count."""
    kept = Undelete(app.admission, timedelta(seconds=app.config.retention.destroyed))
    retention = Retention(app.store, kept, app.admission.charge)
    judge = Judge(app.admission.signatures, partial(load, app.blobs))

    async def upkeep(lease: Lease, now: datetime) -> None:
        await retention.round(lease, now)
        for account in await app.store.accounts():
            await review(app.store, account, judge, now, lease=lease)

    return Maintenance(app.store, app.blobs, app.clock, upkeep)
