"""Scripts of James, jsieve, Cyrus and sievelib: what they do and whether they are valid (corpus: sieve)."""

from datetime import UTC, datetime
from typing import Any

import pytest

from corpus.mail_corpus import needs_corpus
from sieve import corpus_cases as cases
from veredus.formats import sieve
from veredus.formats.mime.message import parse
from veredus.formats.sieve import Discard, FileInto, Keep, Notify, Redirect, Reject, Vacation

pytestmark = needs_corpus
HAS_CORPUS = cases.CORPUS.is_dir()


def environment(sender: str, recipient: str, **more: Any) -> sieve.Environment:
    return sieve.Environment(
        sender=sender, recipient=recipient, now=datetime(2026, 3, 1, 12, tzinfo=UTC), max_redirects=60, **more
    )


def marks(name: str, exceptions: dict[str, str]) -> list[pytest.MarkDecorator]:
    return [pytest.mark.xfail(reason=exceptions[name], strict=True)] if name in exceptions else []


# ---------------------------------------------------------------- James


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case["test"], marks=marks(case["test"], cases.JAMES_EXCEPTIONS))
        for case in (cases.james() if HAS_CORPUS else [])
        if case["test"] not in cases.JAMES_WITHOUT_MESSAGE
    ],
)
def test_james_delivers_the_same(case: dict[str, Any]) -> None:
    script = sieve.compile((cases.SIEVE / "james-mailet" / case["script"]).read_text("utf-8"))
    message = parse(cases.james_message(case))
    recipient = case["recipients"][0]  # the others get what the first one gets, in a run of their own
    outcome = sieve.run(script, message, environment(case["envelope_sender"], recipient))
    for expected in case["expected"]:
        check_james(outcome, expected, recipient)


def check_james(outcome: sieve.Outcome, expected: dict[str, Any], recipient: str) -> None:
    stored = [
        "INBOX" if isinstance(a, Keep) else a.mailbox
        for a in outcome.actions
        if isinstance(a, Keep | FileInto)
    ]
    if "fileinto" in expected:
        assert stored == [expected["fileinto"]]
    elif "sent_mail" not in expected:
        assert stored == []
    elif expected["sent_mail"] is None:
        assert not any(isinstance(action, Vacation) for action in outcome.actions)
    else:
        sent = [mail for action in outcome.actions for mail in sent_by(action, recipient)]
        assert [(expected["sent_mail"]["sender"], expected["sent_mail"]["recipients"])] == sent


def sent_by(action: sieve.Action, recipient: str) -> list[tuple[list[str], list[str]]]:
    """(sender, recipients) of what an action sends."""
    match action:
        case Redirect():
            return [(["sender@any.com"], [action.address])]
        case Reject():
            return [([], ["sender@any.com"])]
        case Vacation():
            return [([action.from_ or recipient], ["sender@any.com"])]
    return []


# ---------------------------------------------------------------- jsieve


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=case["test"], marks=marks(case["test"], cases.JSIEVE_EXCEPTIONS))
        for case in (cases.jsieve() if HAS_CORPUS else [])
    ],
)
def test_jsieve_decides_the_same(case: dict[str, Any]) -> None:
    data = "".join(f"{name}: {value}\r\n" for name, value in case["headers"]) + "\r\n"
    where = environment(case["envelope"].get("from", ""), case["envelope"].get("to", ""))
    try:
        outcome = sieve.run(sieve.compile(cases.jsieve_script(case)), parse(data.encode()), where)
    except sieve.SieveError:
        assert case["expected"].startswith("throws:")
        return
    if case["expected"].startswith("throws:"):
        assert outcome.error is not None
        return
    assert outcome.error is None
    assert (outcome.actions == (Discard(),)) == (case["expected"] == "condition-true")
    if case["action_count"] is not None:
        assert [action.mailbox for action in outcome.actions] == case["fileinto_destinations"]


# ---------------------------------------------------------------- sievelib


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=name, marks=marks(name, cases.VALIDITY_EXCEPTIONS))
        for name, case in (cases.validity() if HAS_CORPUS else [])
    ],
)
def test_sievelib_finds_the_same_scripts_valid(case: dict[str, Any]) -> None:
    try:
        sieve.compile(case["script"])
    except sieve.SieveError as error:
        assert not case["valid"], error  # noqa: PT017
    else:
        assert case["valid"]


# ---------------------------------------------------------------- Cyrus

GOOD_ALWAYS = {
    f"me+{name}@blah.com"
    for name in (
        "toexists under1k goodtrue goodnot goodif goodelseif goodelse goodnull goodnesting goodallof goodanyof"
    ).split()
}
CYRUS_TEST = {
    "utest-address": "aallis aallcontains aallmatches adomainis adomaincontains adomainmatches "
    "alocalpartis alocalpartcontains alocalpartmatches",
    "utest-header": "headercontains headeris headermatches",
}
CYRUS_TEST_EXTENSION = {
    "uetest-value": "numberover10",
    "uetest-count": "X",
    "uetest-hreg": "goodheaderregex",
    "uetest-areg": "goodaallregex goodadomainregex goodalocalpartregex goodauserregex goodadetailregex",
    "uetest-asub": "goodauseris goodausercontains goodausermatches goodadetailis goodadetailcontains "
    "goodadetailmatches",
    "uetest-envelope": "eallis eallcontains eallmatches edomainis edomaincontains edomainmatches elocalpartis "
    "elocalpartcontains elocalpartmatches goodeallregex goodedomainregex goodeuseris goodeusercontains "
    "goodeusermatches goodedetailis goodedetailcontains goodedetailmatches",
}
CYRUS_ACTION = {
    "uatest-discard": Discard(),
    "uatest-keep": Keep(),
    "uatest-stop": Keep(),
    "uatest-stop2": Keep(),
    "uatest-redirect": Redirect("me+goodredirect@blah.com"),
}
CYRUS_FLAGS = {
    "ueatest-denotify": "",
    "ueatest-unmark": "",
    "ueatest-mark": r"\flagged",
    "ueatest-flag1": r"\seen",
    "ueatest-flag2": r"\deleted",
    "ueatest-flag3": r"\draft",
    "ueatest-flag4": r"\draft \flagged",
    "ueatest-flag5": r"\seen \draft \answered \flagged",
}


def redirected(data: bytes, folder: str, sender: str = "") -> set[str]:
    outcome = sieve.run(
        sieve.compile(cases.cyrus_script(folder)), parse(data), environment(sender, "you@x.example")
    )
    assert outcome.error is None
    return {action.address for action in outcome.actions if isinstance(action, Redirect)}


def test_cyrus_uber_test_script() -> None:
    for name, data in cases.cyrus("test"):
        expected = {f"me+{word}@blah.com" for word in CYRUS_TEST[name].split()} | GOOD_ALWAYS
        assert redirected(data, "test") == expected, name


@pytest.mark.parametrize("name", [name for name, _ in (cases.cyrus("testExtension") if HAS_CORPUS else [])])
def test_cyrus_uber_test_extension_script(name: str) -> None:
    data = dict(cases.cyrus("testExtension"))[name]
    found = redirected(data, "testExtension", "WERT+erk@true.com" if "envelope" in name else "")
    if name == "uetest-hasflag":
        assert len(found) == 16
        assert not [address for address in found if "bad" in address.replace("+bad@", "")]
    else:
        assert found == {f"me+{word}@blah.com" for word in CYRUS_TEST_EXTENSION.get(name, "").split()}


def test_cyrus_uber_action_script() -> None:
    script = sieve.compile(cases.cyrus_script("action"))
    for name, data in cases.cyrus("action"):
        outcome = sieve.run(script, parse(data), environment("me@x.example", "you@x.example"))
        assert outcome.actions == (CYRUS_ACTION[name],), name


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=marks(name, cases.CYRUS_EXCEPTIONS))
        for name, _ in (cases.cyrus("actionExtensions") if HAS_CORPUS else [])
    ],
)
def test_cyrus_uber_action_extension_script(name: str) -> None:
    """In the script each flag has ``${0}`` behind it, which is the subject: flags as well, not in the key."""
    data = dict(cases.cyrus("actionExtensions"))[name]
    message = parse(data)
    where = environment("me@x.example", "you@x.example")
    outcome = sieve.run(sieve.compile(cases.cyrus_script("actionExtensions")), message, where)
    assert outcome.error is None
    words = set((message.root.headers[3].value).split())
    match name:
        case "ueatest-reject":
            assert outcome.actions == (Reject("reject rejected", is_extended=False),)
        case "ueatest-notify" | "ueatest-notify2" | "ueatest-denotify2":
            assert any(isinstance(action, Notify) for action in outcome.actions)
        case "ueatest-fileinto":
            assert outcome.actions == (FileInto("INBOX.good.fileinto"),)
        case "ueatest-vacation":
            [vacation, keep] = outcome.actions
            assert isinstance(vacation, Vacation)
            assert (vacation.seconds, vacation.subject, keep) == (5 * 86_400, "i'm at the beach", Keep())
        case "ueatest-imap4flags":
            stored = [
                ("INBOX" if isinstance(a, Keep) else a.mailbox, flags_but(words, a))
                for a in outcome.actions
                if isinstance(a, Keep | FileInto)
            ]
            assert stored[:4] == [
                ("INBOX", {"keepflag"}),
                ("INBOX.fileinto.flags imap4flags", {"fileinto", "f2"}),
                ("INBOX.fileinto.internalflags", {"existing", "flag0", "flag1", "flag", "here"}),
                ("INBOX.fileinto.nullflags", set()),
            ]
        case _:
            [keep] = outcome.actions
            assert flags_but(words, keep) == set(CYRUS_FLAGS[name].split())


def flags_but(words: set[str], action: sieve.Action) -> set[str]:
    assert isinstance(action, Keep | FileInto)
    return {flag for flag in action.flags if flag not in words}
