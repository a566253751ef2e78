"""Write docs/conformance.md from the tests: ``python -m tools.conformance``.

A test says with ``pytest.mark.rfc("8621", "2.5")`` which section it proves, and with ``must`` or
``should`` how strongly the RFC wants it; a mark on the module (``pytestmark``) is for its tests
without one. What is missing is written by hand, below.
"""

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from veredus.formats.sieve import EXTENSIONS

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "conformance.md"
MARK = "<!-- The rest is written by `make docs`. -->\n"

TITLES = {
    "8620": "RFC 8620: The JSON Meta Application Protocol",
    "8621": "RFC 8621: JMAP for Mail",
    "8887": "RFC 8887: A JMAP Subprotocol for WebSocket",
    "9007": "RFC 9007: Handling Message Disposition Notification with JMAP",
    "9219": "RFC 9219: S/MIME Signature Verification Extension to JMAP",
    "9404": "RFC 9404: JMAP Blob Management Extension",
    "9425": "RFC 9425: JMAP for Quotas",
    "9661": "RFC 9661: JMAP for Sieve Scripts",
    "9749": "RFC 9749: Use of VAPID in JMAP Web Push",
}

# Number and title of each section that says something to a server; others may be cited as their parents.
SECTIONS: dict[str, dict[str, str]] = {
    "8620": {
        "1.2": "The Id Data Type",
        "1.3": "The Int and UnsignedInt Data Types",
        "1.4": "The Date and UTCDate Data Types",
        "1.5": "JSON as the Data Encoding Format",
        "2": "The JMAP Session Resource",
        "2.2": "Service Autodiscovery",
        "3.1": "Making an API Request",
        "3.2": "The Invocation Data Type",
        "3.3": "The Request Object",
        "3.4": "The Response Object",
        "3.5": "Omitting Arguments",
        "3.6.1": "Request-Level Errors",
        "3.6.2": "Method-Level Errors",
        "3.7": "References to Previous Method Results",
        "3.8": "Localization of User-Visible Strings",
        "3.9": "Security",
        "3.10": "Concurrency",
        "4": "The Core/echo Method",
        "5": "Standard Methods and Naming Convention",
        "5.1": "/get",
        "5.2": "/changes",
        "5.3": "/set",
        "5.4": "/copy",
        "5.5": "/query",
        "5.6": "/queryChanges",
        "5.7": "Examples",
        "5.8": "Proxy Considerations",
        "6": "Binary Data",
        "6.1": "Uploading Binary Data",
        "6.2": "Downloading Binary Data",
        "6.3": "Blob/copy",
        "7.1": "The StateChange Object",
        "7.2": "PushSubscription",
        "7.2.1": "PushSubscription/get",
        "7.2.2": "PushSubscription/set",
        "7.3": "Event Source",
        "8": "Security Considerations",
    },
    "8621": {
        "1.3": "Additions to the Capabilities Object",
        "1.5": "Push",
        "1.6": "Ids",
        "2": "Mailboxes",
        "2.1": "Mailbox/get",
        "2.2": "Mailbox/changes",
        "2.3": "Mailbox/query",
        "2.4": "Mailbox/queryChanges",
        "2.5": "Mailbox/set",
        "3": "Threads",
        "3.1": "Thread/get",
        "3.2": "Thread/changes",
        "4.1.1": "Emails: Metadata",
        "4.1.2": "Emails: Header Field Parsed Forms",
        "4.1.3": "Emails: Header Field Properties",
        "4.1.4": "Emails: Body Parts",
        "4.2": "Email/get",
        "4.3": "Email/changes",
        "4.4": "Email/query",
        "4.4.1": "Email/query: Filtering",
        "4.4.2": "Email/query: Sorting",
        "4.4.3": "Email/query: Thread Collapsing",
        "4.5": "Email/queryChanges",
        "4.6": "Email/set",
        "4.7": "Email/copy",
        "4.8": "Email/import",
        "4.9": "Email/parse",
        "4.10": "Examples",
        "5": "Search Snippets",
        "5.1": "SearchSnippet/get",
        "6": "Identities",
        "6.1": "Identity/get",
        "6.2": "Identity/changes",
        "6.3": "Identity/set",
        "6.4": "Identities: Example",
        "7": "Email Submission",
        "7.1": "EmailSubmission/get",
        "7.2": "EmailSubmission/changes",
        "7.3": "EmailSubmission/query",
        "7.4": "EmailSubmission/queryChanges",
        "7.5": "EmailSubmission/set",
        "7.5.1": "EmailSubmission/set: Example",
        "8": "Vacation Response",
        "8.1": "VacationResponse/get",
        "8.2": "VacationResponse/set",
        "9": "Security Considerations",
        "9.4": "Security Considerations: Email Submission",
        "9.6": "Security Considerations: Permission to Send from an Address",
    },
    "8887": {
        "3": "Discovering Support for JMAP over WebSocket",
        "4.1": "Authentication",
        "4.2": "WebSocket Handshake",
        "4.3": "WebSocket Messages",
        "4.3.1": "Handling Invalid Data",
        "4.3.2": "JMAP Requests",
        "4.3.3": "JMAP Responses",
        "4.3.4": "JMAP Request-Level Errors",
        "4.3.5": "JMAP Push Notifications",
        "4.3.5.1": "Notification Format",
        "4.3.5.2": "Enabling Notifications",
        "4.3.5.3": "Disabling Notifications",
        "4.4": "Examples",
        "5": "Security Considerations",
    },
    "9007": {
        "1.3": "Addition to the Capabilities Object",
        "2": "MDN",
        "2.1": "MDN/send",
        "2.2": "MDN/parse",
        "3.1": "Sending an MDN for a Received Email Message",
        "3.2": "Asking for an MDN When Sending an Email Message",
        "3.3": "Parsing a Received MDN",
        "5": "Security Considerations",
    },
    "9219": {
        "3": "Addition to the Capabilities Object",
        "4": "Extension for S/MIME Signature Verification",
        "4.1": "Extension to Email/get",
        "4.2": "Extension to Email/query",
        "4.3": "Extension to Email/changes",
    },
    "9404": {
        "3.1": "urn:ietf:params:jmap:blob",
        "4": "Blob Methods",
        "4.1": "Blob/upload",
        "4.2": "Blob/get",
        "4.3": "Blob/lookup",
    },
    "9425": {
        "2": "Addition to the Capabilities Object",
        "3": "Sub-types of the Quota Data Type",
        "4": "Quota",
        "4.1": "Properties of the Quota Object",
        "4.2": "Quota/get",
        "4.3": "Quota/changes",
        "4.4": "Quota/query",
        "4.5": "Quota/queryChanges",
        "6": "Push",
    },
    "9661": {
        "1.2.1": "urn:ietf:params:jmap:sieve",
        "2": "Sieve Scripts",
        "2.1": "Sieve Script Properties",
        "2.2": "Sieve Script Content",
        "2.3": "SieveScript/get",
        "2.4": "SieveScript/set",
        "2.4.1": "SieveScript/set: Examples",
        "2.5": "SieveScript/query",
        "2.6": "SieveScript/validate",
        "3": "Quotas",
        "4": "Compatibility with JMAP Vacation Response",
        "5": "Security Considerations",
    },
    "9749": {
        "3": "Discovering Support for VAPID",
        "4": "Issuing Push Notifications",
        "5": "Key Rotation",
    },
}

# What we do not do: RFC, section, in a sentence.
MISSING: tuple[tuple[str, str, str], ...] = (
    ("8621", "2", "isSubscribed is one for all users of a shared account, not one for each."),
    ("8621", "2", "Rights are those of the account; no Mailbox is shared by itself."),
    ("8621", "4.3", "Intermediate states give the oldest changes first, though newest first is recommended."),
    (
        "8621",
        "4.4.1",
        "Whole words are matched: no prefixes, no stemming. Documents other than text are not searched.",
    ),
    ("8621", "4.5", "upToId is accepted and not used: the response may be longer than it could be."),
    ("8621", "1.3", "No setting adds submission extensions to those that the server has itself."),
    (
        "8621",
        "7",
        "An Email of another author cannot be sent on as it is (Resent-From): From must be the user's own.",
    ),
    ("8621", "7.5", "Descriptions of errors are in English, whatever Accept-Language says."),
    ("8621", "9.4", "Nothing limits how many messages a user sends in an hour."),
    ("9219", "4.1", "Certificates are not checked for revocation."),
    ("9219", "4.1", "What is encrypted is not decrypted, and so has no status."),
    ("9219", "4.1", "Only a message that is signed as a whole has a status, not one with a signed part."),
    ("9661", "3", "Scripts count for no Quota; their number and size are limited."),
)

# What defines each extension of Sieve that a script may require, and what we lack of it.
SIEVE: dict[str, str] = {
    "body": "RFC 5173",
    "comparator-i;ascii-casemap": "RFC 5228",
    "comparator-i;ascii-numeric": "RFC 4790",
    "comparator-i;octet": "RFC 5228",
    "comparator-i;unicode-casemap": "RFC 5051",
    "copy": "RFC 3894",
    "date": "RFC 5260",
    "duplicate": "RFC 7352",
    "editheader": "RFC 5293",
    "encoded-character": "RFC 5228",
    "enotify": "RFC 5435, by mailto (RFC 5436) alone",
    "envelope": "RFC 5228",
    "environment": "RFC 5183",
    "ereject": "RFC 5429",
    "extracttext": "RFC 5703",
    "fileinto": "RFC 5228",
    "foreverypart": "RFC 5703",
    "ihave": "RFC 5463",
    "imap4flags": "RFC 5232",
    "include": "RFC 6609; there are no global scripts",
    "index": "RFC 5260",
    "mailbox": "RFC 5490",
    "mailboxid": "RFC 9042",
    "mime": "RFC 5703",
    "regex": "draft-ietf-sieve-regex",
    "reject": "RFC 5429",
    "relational": "RFC 5231",
    "special-use": "RFC 8579",
    "subaddress": "RFC 5233",
    "vacation": "RFC 5230",
    "vacation-seconds": "RFC 6131",
    "variables": "RFC 5229",
}


class Proof(NamedTuple):
    """A test and what it proves. ``level``: "must", "should" or ""."""

    rfc: str
    section: str
    path: str
    test: str
    level: str


def proofs(root: Path = ROOT) -> Iterator[Proof]:
    """Every test with an rfc mark, file by file."""
    for path in sorted((root / "tests").rglob("test_*.py")):
        source = path.read_text(encoding="utf-8")
        if "rfc" in source:
            yield from _of_module(ast.parse(source), path.relative_to(root).as_posix())


def _of_module(module: ast.Module, path: str) -> Iterator[Proof]:
    common: list[ast.expr] = []
    for one in module.body:
        if isinstance(one, ast.Assign) and any(_name(target) == "pytestmark" for target in one.targets):
            common = one.value.elts if isinstance(one.value, ast.List | ast.Tuple) else [one.value]
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            own = node.decorator_list
            for rfc, section in _sections(own) or _sections(common):
                yield Proof(rfc, section, path, node.name, _level(own) or _level(common))


def _name(node: ast.expr) -> str:
    """``c`` of ``a.b.c`` or ``c``."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _sections(marks: Iterable[ast.expr]) -> list[tuple[str, str]]:
    found = []
    for mark in marks:
        if isinstance(mark, ast.Call) and _name(mark.func) == "rfc":
            rfc, section = (argument.value for argument in mark.args if isinstance(argument, ast.Constant))
            found.append((str(rfc), str(section)))
    return found


def _level(marks: Iterable[ast.expr]) -> str:
    names = {_name(mark) for mark in marks}
    return next((level for level in ("must", "should") if level in names), "")


def unknown(found: Iterable[Proof]) -> list[str]:
    """Tests that cite a section which the tables lack."""
    return [
        f"{proof.path}: RFC {proof.rfc} §{proof.section}"
        for proof in found
        if proof.section not in SECTIONS.get(proof.rfc, {})
    ]


def page() -> str:
    """docs/conformance.md as it should be."""
    found = list(proofs())
    by_hand = PAGE.read_text(encoding="utf-8").partition(MARK)[0] if PAGE.exists() else "# Conformance\n\n"
    return by_hand + MARK + "\n".join([*_summary(found), *_chapters(found), *_sieve()]).rstrip() + "\n"


def _summary(found: list[Proof]) -> Iterator[str]:
    yield "\n| | sections | with tests | tests | missing |\n|---|---|---|---|---|"
    for rfc, sections in SECTIONS.items():
        mine = [proof for proof in found if proof.rfc == rfc]
        missing = sum(1 for number, _, _ in MISSING if number == rfc)
        tested = len({proof.section for proof in mine})
        yield f"| {TITLES[rfc]} | {len(sections)} | {tested} | {len(mine)} | {missing} |"


def _chapters(found: list[Proof]) -> Iterator[str]:
    for rfc, sections in SECTIONS.items():
        yield f"\n## {TITLES[rfc]}"
        for section, title in sections.items():
            mine = [proof for proof in found if (proof.rfc, proof.section) == (rfc, section)]
            missing = [text for number, where, text in MISSING if (number, where) == (rfc, section)]
            if mine or missing:
                yield f"\n### {section} {title}\n"
                yield from (f"- **Missing:** {text}" for text in missing)
                yield from _tests(mine)
        bare = [
            f"{section} {title}" for section, title in sections.items() if not _is_told(found, rfc, section)
        ]
        if bare:
            yield f"\nWithout a test of their own: {'; '.join(bare)}."


def _sieve() -> Iterator[str]:
    """KeyError: an extension that ``SIEVE`` does not have."""
    yield "\n## Sieve\n"
    yield "The language is that of RFC 5228. A script may require:\n"
    yield from (f"- `{name}` ({SIEVE[name]})" for name in EXTENSIONS)


def _is_told(found: list[Proof], rfc: str, section: str) -> bool:
    return any((proof.rfc, proof.section) == (rfc, section) for proof in found) or any(
        (number, where) == (rfc, section) for number, where, _ in MISSING
    )


def _tests(mine: list[Proof]) -> Iterator[str]:
    for path in dict.fromkeys(proof.path for proof in mine):
        yield f"- [{path.removeprefix('tests/')}](../{path})"
        for proof in mine:
            if proof.path == path:
                level = f" ({proof.level.upper()})" if proof.level else ""
                yield f"  - {proof.test.removeprefix('test_').replace('_', ' ')}{level}"


def main() -> None:
    wrong = unknown(proofs())
    if wrong:
        sys.exit("no such section in tools/conformance.py:\n" + "\n".join(wrong))
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
