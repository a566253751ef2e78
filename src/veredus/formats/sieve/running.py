"""Runs a script for one message, and makes of what it decided what is to be done (RFC 5228 §2.10)."""

from dataclasses import replace

from veredus.formats.mime.message import Message
from veredus.formats.sieve.environment import Environment
from veredus.formats.sieve.errors import RunError, sentence
from veredus.formats.sieve.flags import storable
from veredus.formats.sieve.outcome import Action, Discard, FileInto, Keep, Outcome, Redirect, Reject
from veredus.formats.sieve.script import Script
from veredus.formats.sieve.state import Run


def run(script: Script, message: Message, environment: Environment) -> Outcome:
    """What ``script`` does with a message. Never raises, whatever both say."""
    state = Run(message, environment, script.limits)
    try:
        script.body(state)
        if state.keeps:
            state.act(Keep(storable(state.flags), state.edited))
        actions = _merged(state.actions)
        _check_rejected(actions, state.answered)
        edited = state.edited
    except RunError as error:
        return Outcome((Keep(),), error=_sentence(state, str(error)), steps=state.steps)
    return Outcome(actions, tuple(state.duplicates.values()), edited, steps=state.steps)


def _sentence(state: Run, problem: str) -> str:
    where = f"line {state.line}: {problem}" if state.line else problem
    return sentence(f'in the script "{state.scope.name}", {where}' if state.scope.name else where)


def _merged(actions: list[Action]) -> tuple[Action, ...]:
    """Each thing once (§2.10.3): a message is stored once in a mailbox, and sent once to an address."""
    merged: dict[object, Action] = {}
    for action in actions:
        key = _key(action)
        merged[key] = _joined(merged[key], action) if key in merged else action
    is_discarded = len(merged) == 1
    return tuple(action for action in merged.values() if is_discarded or not isinstance(action, Discard))


def _key(action: Action) -> object:
    match action:
        case Keep():
            return "INBOX"
        case FileInto(special_use=None, mailbox_id=None):
            return "INBOX" if action.mailbox.upper() == "INBOX" else (FileInto, action.mailbox)
        case FileInto():
            return FileInto, action.mailbox, action.special_use, action.mailbox_id
        case Redirect():
            return Redirect, action.address.lower()
        case _:
            return action


def _joined(first: Action, second: Action) -> Action:
    """One action for two of the same target: flags of both, the message as the later one has it."""
    if isinstance(first, (Keep, FileInto)) and isinstance(second, (Keep, FileInto)):
        flags = tuple(dict.fromkeys((*first.flags, *second.flags)))
        first = replace(first, flags=flags, message=second.message)
        if isinstance(first, FileInto) and isinstance(second, FileInto):
            return replace(first, create=first.create or second.create)
    return first


def _check_rejected(actions: tuple[Action, ...], answered: bool) -> None:
    """Whoever refuses a message cannot take it as well (RFC 5429 §2.4), nor answer it."""
    rejects = [action for action in actions if isinstance(action, Reject)]
    if len(rejects) > 1:
        raise RunError("a message can be rejected only once")
    if rejects and (answered or any(isinstance(action, Keep | FileInto | Redirect) for action in actions)):
        raise RunError("a message that is rejected can be neither kept nor redirected nor answered")
