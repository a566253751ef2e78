"""What mail passes on its way into the mailboxes of an app, by the settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from veredus.app.building import App
from veredus.config.errors import ConfigError
from veredus.delivery.inbound import Inbound
from veredus.delivery.terms import Reach, Terms
from veredus.inspection.inspector import Inspector
from veredus.mail.mailbox import MailboxLimits

_REACH: dict[str, Reach] = {"local": "here", "off": "nobody"}


@asynccontextmanager
async def inbound_of(app: App) -> AsyncIterator[Inbound]:
    """Delivery into the mailboxes of this server. Raises ConfigError: what checks mail is not installed."""
    config = app.config
    incoming, limits = config.incoming, config.limits
    inspector = Inspector(
        checks=incoming.check_senders,
        enforce_dmarc=incoming.enforce_dmarc,
        spam_url=incoming.spam_url,
        hostname=config.hostname,
        max_hops=incoming.max_hops,
        resolver=app.resolver,
    )
    try:
        if (problem := inspector.problem()) is not None:
            raise ConfigError([problem])
        terms = Terms(
            hostname=config.hostname,
            reach=_REACH.get(config.outgoing.url, "everybody"),
            inspector=inspector,
            max_redirects=config.sieve.max_redirects,
            max_steps=config.sieve.max_steps,
            separator=config.mail.subaddress_separator,
            mailboxes=MailboxLimits(limits.max_mailbox_depth, limits.max_size_mailbox_name),
        )
        yield Inbound(app.store, app.blobs, app.directory, app.admission, app.clock, terms)
    finally:
        await inspector.close()
