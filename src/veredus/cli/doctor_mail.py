"""What `veredus doctor` finds of mail that leaves and arrives."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from veredus.cli.common import plain
from veredus.cli.finding import Finding

if TYPE_CHECKING:
    from veredus.app import App
    from veredus.config import Config
    from veredus.outgoing.records import Destination

_SHOWN = 3


async def mail(opened: "App") -> list[Finding]:
    """The queue, the keys that sign, and what checks senders."""
    waiting, destinations = await opened.queue_operations.overview()
    names = [domain.name for domain in await opened.domains.all()]
    return [
        *_queue(waiting, destinations),
        *_signing(opened.config, names),
        *_checks(opened.config),
    ]


def _queue(waiting: int, destinations: Sequence["Destination"]) -> Iterator[Finding]:
    failing = sorted((one for one in destinations if one.failures), key=lambda one: -one.failures)
    for one in failing[:_SHOWN]:
        told = plain(f"{one.id}: {one.failures} attempts reached nobody ({one.reply})")
        yield Finding("queue", "warning", f"{told} - `veredus queue ls --destination {plain(one.id)}`")
    if len(failing) > _SHOWN:
        more = len(failing) - _SHOWN
        yield Finding(
            "queue", "warning", f"{more} further destinations cannot be reached - `veredus queue ls`"
        )
    if not failing:
        yield Finding("queue", "ok", f"{waiting} waiting, no destination that cannot be reached")


def _signing(config: "Config", names: Sequence[str]) -> Iterator[Finding]:
    if config.outgoing.url in ("off", "local"):
        return
    if names:
        yield Finding("dkim", "ok", f"{', '.join(names)}: signed; `veredus dns check NAME` asks DNS")
    else:
        yield Finding(
            "dkim", "warning", "no domain has keys, so mail leaves unsigned - `veredus domain add NAME`"
        )


def _checks(config: "Config") -> Iterator[Finding]:
    from veredus.inspection.inspector import missing_extra

    checks = config.incoming.check_senders
    if (problem := missing_extra(checks)) is not None:
        yield Finding("senders", "problem", problem)
    elif checks != "off":
        yield Finding("senders", "ok", f"SPF, DKIM and DMARC of what comes are checked: {checks}")
