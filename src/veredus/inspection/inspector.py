"""What arrives is looked at once, before its recipients: where it comes from, whether it is spam, whether it
runs in a circle.

ARC (RFC 8617) is not looked at: it would need a list of forwarders that are trusted.
"""

import asyncio
import importlib.util
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal

import structlog
from msgspec import Struct

from veredus.formats.authentication_results import write
from veredus.formats.mime.fields import header_block
from veredus.formats.smtp import Envelope
from veredus.inspection.fields import hops, without_claims
from veredus.inspection.rspamd import Rspamd
from veredus.inspection.spam import Opinion, SpamFilter, Unanswered, Verdict
from veredus.inspection.spamd import SpamAssassin
from veredus.ports.trouble import described
from veredus.resolver import Resolver

if TYPE_CHECKING:
    from veredus.inspection.senders import Checked

log = structlog.get_logger("veredus.inspection")

Where = Literal["off", "smtp", "all"]

# RFC 3463: code, enhanced code and text of an SMTP reply.
_Reply = tuple[int, str, str]
_SPAM: _Reply = (550, "5.7.1", "This message looks like spam")
_LATER: _Reply = (451, "4.7.1", "Try again later")
# The modules of the extra `checks`.
_EXTRA = ("authheaders", "spf")


class Inspected(Struct, frozen=True):
    """``fields`` are to stand before ``message``, which is without what others claim in our name.

    ``reply``: what the client is told, of a message that is refused or postponed. ``spam_score``: None when
    nobody told one.
    """

    fields: bytes
    verdict: Verdict
    message: bytes
    reply: _Reply | None = None
    spam_score: float | None = None


class Inspector:
    """The checks that the settings ask for."""

    def __init__(
        self,
        *,
        checks: Where = "off",
        enforce_dmarc: bool = True,
        spam_url: str | None = None,
        hostname: str,
        max_hops: int = 50,
        resolver: Resolver,
    ) -> None:
        """``hostname`` is our authserv-id, too (RFC 8601 §2.5)."""
        self._checks, self._enforce = checks, enforce_dmarc
        self._hostname, self._max_hops, self._resolver = hostname, max_hops, resolver
        # Now, since to import the libraries and the public suffix list takes 200 ms.
        self._check = _senders_check() if checks != "off" and self.problem() is None else None
        self._filter: SpamFilter | None = None
        if spam_url is not None:
            is_rspamd = spam_url.startswith("rspamd:")
            self._filter = Rspamd(spam_url, hostname) if is_rspamd else SpamAssassin(spam_url)

    def problem(self) -> str | None:
        """Why it cannot do what is asked of it, with the remedy; None: it can."""
        return missing_extra(self._checks)

    async def close(self) -> None:
        if self._filter is not None:
            await self._filter.close()

    async def inspect(self, envelope: Envelope, message: bytes) -> Inspected:
        """It never raises: whoever cannot be asked has no say, so that no mail is lost."""
        by_lmtp = "LMTP" in envelope.protocol
        count = hops(header_block(message))
        if count > self._max_hops:
            text = f"This message runs in a circle: it came through {count} hosts"
            return Inspected(b"", "reject", message, (554, "5.4.6", text))
        checks = self._checks == "all" or (self._checks == "smtp" and not by_lmtp)
        if not checks and self._filter is None:
            return Inspected(b"", "accept", self._cleaned(message, checks=checks, by_lmtp=by_lmtp))
        checked, opinion = await asyncio.gather(
            self._senders(envelope, message) if checks else _nothing(), self._spam(envelope, message)
        )
        fields = b"" if checked is None else write(self._hostname, checked.results)
        verdict, reply = self._decided(checked, opinion, by_lmtp=by_lmtp)
        return Inspected(
            fields + (b"" if opinion is None else opinion.fields()),
            verdict,
            self._cleaned(message, checks=checks, by_lmtp=by_lmtp),
            reply,
            None if opinion is None else opinion.score,
        )

    def _cleaned(self, message: bytes, *, checks: bool, by_lmtp: bool) -> bytes:
        """What our own MTA hands over by LMTP, it may have checked, and written down in our common name."""
        if by_lmtp and not checks and self._filter is None:
            return message
        authserv = "" if by_lmtp and not checks else self._hostname
        return without_claims(message, authserv, spam=self._filter is not None)

    def _decided(
        self, checked: "Checked | None", opinion: Opinion | None, *, by_lmtp: bool
    ) -> tuple[Verdict, _Reply | None]:
        """The severest of all; a refusal is for good, so it comes before a delay."""
        wanted: list[tuple[Verdict, _Reply | None]] = []
        if checked is not None and self._enforce:
            if checked.disposition == "reject":
                text = f"This message is not from {checked.author}, by its DMARC policy"
                wanted.append(("reject", (550, "5.7.26", text)))
            elif checked.disposition == "quarantine":
                wanted.append(("junk", None))
        if opinion is not None:
            replies: dict[Verdict, _Reply] = {"reject": _SPAM, "defer": _LATER}
            wanted.append((opinion.verdict, replies.get(opinion.verdict)))
        if by_lmtp:
            # Our MTA has taken it already, and would send a bounce to whoever was named as sender.
            wanted = [
                ("junk", None) if verdict == "reject" else (verdict, reply) for verdict, reply in wanted
            ]
        order: tuple[Verdict, ...] = ("accept", "junk", "defer", "reject")
        return max(wanted, key=lambda one: order.index(one[0]), default=("accept", None))

    async def _senders(self, envelope: Envelope, message: bytes) -> "Checked | None":
        if self._check is None:
            log.warning("senders not checked", error=self.problem())
            return None
        try:
            return await self._check(self._resolver, envelope, message)
        except Exception as error:  # libraries read what strangers wrote; without them mail still comes in
            log.error("senders not checked", octets=len(message), **described(error))
            return None

    async def _spam(self, envelope: Envelope, message: bytes) -> Opinion | None:
        if self._filter is None:
            return None
        try:
            return await self._filter.ask(envelope, message)
        except Unanswered as error:
            log.warning("spam filter not asked", error=str(error), octets=len(message))
            return None


async def _nothing() -> None:
    return None


def _senders_check() -> Callable[[Resolver, Envelope, bytes], Awaitable["Checked"]]:
    from veredus.inspection.senders import check  # noqa: PLC0415 - an extra that few need
    from veredus.inspection.suffixes import suffixes  # noqa: PLC0415

    suffixes()
    return check


def missing_extra(checks: Where) -> str | None:
    """Why senders cannot be checked, with the remedy; None: they can, or need not."""
    if checks == "off" or all(map(importlib.util.find_spec, _EXTRA)):
        return None
    return f"incoming.check_senders is \"{checks}\", and that needs: pip install 'veredus[checks]'"
