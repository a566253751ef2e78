"""Runs the active script of an account for a message, with what it asks of the account."""

import asyncio
import re
from typing import Final

import structlog

from veredus import __version__
from veredus.delivery.case import Case
from veredus.delivery.questions import Questions
from veredus.delivery.rules import RuleBook
from veredus.delivery.terms import Terms
from veredus.formats.sieve import Environment, Outcome, Script, run
from veredus.ports import Store

log = structlog.get_logger()

# Each round answers what the one before has asked: scripts within scripts, mailboxes, ids.
_ROUNDS: Final = 10
# Octets of the message, or of the script, from which on it runs in a thread: it may take milliseconds.
_INLINE: Final = 16 * 1024
_LINE = re.compile(r"\bline (\d+)")


async def outcome_of(case: Case, script: Script, store: Store, book: RuleBook, terms: Terms) -> Outcome:
    """What the script does with the message; sets ``case.new_keys``. Raises Unavailable."""
    questions = Questions()
    environment = _environment(case, questions, terms)
    is_long = max(len(case.arrival.data), book.size_of(script)) > _INLINE
    outcome = await _round(case, script, environment, is_long=is_long)
    for _ in range(_ROUNDS):
        if not questions.are_open:
            break
        await questions.look_up(store, book, case)
        outcome = await _round(case, script, environment, is_long=is_long)
    case.new_keys = questions.new_keys
    if outcome.error is not None:
        # The sentence may quote the message; the line does not.
        found = _LINE.search(outcome.error)
        line = int(found[1]) if found else None
        log.warning("script failed", account=case.account, line=line, steps=outcome.steps)
    return outcome


async def _round(case: Case, script: Script, environment: Environment, *, is_long: bool) -> Outcome:
    if is_long:
        return await asyncio.to_thread(run, script, case.message, environment)
    return run(script, case.message, environment)


def _environment(case: Case, questions: Questions, terms: Terms) -> Environment:
    envelope, hostname = case.arrival.envelope, terms.hostname
    items = {
        "domain": hostname.partition(".")[2] or hostname,
        "host": hostname,
        "location": "MDA",
        "name": "Veredus",
        "phase": "during",
        "remote-host": envelope.helo,
        "remote-ip": envelope.client,
        "version": __version__,
    }
    return Environment(
        sender=case.sender,
        recipient=case.recipient,
        now=case.now,
        mailboxes=questions,
        include=questions.include,
        is_duplicate=questions.is_duplicate,
        items=items,
        subaddress_separator=terms.separator,
        own_addresses=[*case.own.addresses, *([case.named] if case.named else [])],
        max_steps=terms.max_steps,
        max_redirects=terms.max_redirects,
    )
