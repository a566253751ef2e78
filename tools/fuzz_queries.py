"""Messages and queries for the fuzz targets.

A string "@name" stands for an id of the account: see ``fuzz_engine.Account``.
"""

from functools import partial
from typing import Any

from tools.fuzz_input import Choices

WORDS = ["hello", "Grüße", "日本語", "x_y", "a%b", 'say "hi"', "report", "Re: report", "", "İstanbul ß"]
IDS = [
    "@inbox",
    "@trash",
    "@drafts",
    "@archive",
    "@e0",
    "@e1",
    "@t0",
    "@b0",
    "#c0",
    "#c1",
    "nothing",
    "",
    "a/b",
    "é",
]


def mail(number: int) -> bytes:
    """One of many messages that differ in what can be asked for."""
    word, other = WORDS[number % 10], WORDS[(number * 3 + 1) % 10]
    fields = {
        "Message-ID": f"<m{number}@example.com>",
        "References": f"<m{number // 3}@example.com>",
        "From": f'"{other.replace(chr(34), "")}" <user{number % 4}@example.com>',
        "To": f"to{number % 3}@example.org" if number % 5 else "",
        "Cc": "cc@sub.example.org" if number % 3 == 0 else "",
        "Subject": word if number % 4 else "=?utf-8?q?Gr=C3=BC=C3=9Fe?=",
        "Date": f"Thu, {number % 28 + 1} Jan 2026 10:00:00 +0{number % 10}00",
        "X-Number": str(number),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    if number % 6 == 5:
        part = (
            "--b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment\r\n\r\nx\r\n"
        )
        head += "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n"
        return f"{head}\r\n--b\r\n\r\n{word} text\r\n{part}--b--\r\n".encode()
    return f"{head}\r\n{other} {word} text number {number}.\r\n".encode() + b"x" * (number * 37)


# ---------------------------------------------------------------- queries

DATES = [f"2026-01-{day:02}T00:00:00{end}" for day in (1, 5, 28) for end in ("Z", ".5Z")]
_EMAIL_FILTERS: dict[str, list[Any]] = {
    "inMailbox": IDS,
    "inMailboxOtherThan": [["@inbox"], ["@inbox", "@trash"], []],
    "before": DATES,
    "after": DATES,
    "minSize": [0, 300, 500, 2**53 - 1],
    "maxSize": [0, 300, 500, 2**53 - 1],
    **{
        name: ["$seen", "$SEEN", "$flagged", "other", "none", "é", ""]
        for name in (
            "allInThreadHaveKeyword",
            "someInThreadHaveKeyword",
            "noneInThreadHaveKeyword",
            "hasKeyword",
        )
    },
    "notKeyword": ["$seen", "other", ""],
    "hasAttachment": [True, False],
    **{
        name: [*WORDS, "text number", "example.com", "user1"]
        for name in ("text", "from", "to", "cc", "bcc", "subject", "body")
    },
    "header": [["X-Number"], ["x-number", "1"], ["Subject", "ß"], [], ["", ""], ["From", "user"]],
}
_FILTERS: dict[str, dict[str, list[Any]]] = {
    "Email": _EMAIL_FILTERS,
    "Mailbox": {
        "parentId": [None, *IDS],
        "name": ["in", "IN", "ä", "Ä", "%", "_", ""],
        "role": [None, "inbox", "none"],
        "hasAnyRole": [True, False],
        "isSubscribed": [True, False],
    },
    "Quota": {
        "name": ["a", ""],
        "scope": ["account", "x"],
        "resourceType": ["count", "octets"],
        "type": ["Email", "X"],
    },
}
_SORTS = {
    "Email": [
        "receivedAt", "size", "from", "to", "subject", "sentAt", "hasKeyword", "allInThreadHaveKeyword",
        "someInThreadHaveKeyword",
    ],
    "Mailbox": ["name", "sortOrder", "parentId"],
    "Quota": ["name", "used"],
}  # fmt: skip
_COLLATIONS = ["i;unicode-casemap", "i;ascii-casemap", "i;ascii-numeric", "i;octet", "x", None, 1]


def query_arguments(choices: Choices, type: str) -> dict[str, Any]:
    """Arguments of a /query; seldom of a wrong type."""
    arguments: dict[str, Any] = {"filter": any_filter(choices, type, 4)}
    arguments["sort"] = choices.many(partial(_comparator, choices, type), 3) or None
    options: dict[str, list[Any]] = {
        "position": [0, 1, -1, -5, 100],
        "anchor": ["@e0", "@e5", "@inbox", "nothing"],
        "anchorOffset": [0, 1, -1, -100, 100],
        "limit": [0, 1, 3, 100],
        "calculateTotal": [True],
    }
    special = {"Email": "collapseThreads", "Mailbox": choices.pick(["sortAsTree", "filterAsTree"])}
    if type in special:
        options[special[type]] = [True]
    for name, values in options.items():
        if choices.one_in(3):
            arguments[name] = nearly(choices, values)
    return arguments


def nearly(choices: Choices, values: list[Any]) -> Any:
    """One of ``values``, seldom anything else."""
    return choices.value() if choices.one_in(40) or not values else choices.pick(values)


def any_filter(choices: Choices, type: str, depth: int) -> Any:
    kind = choices.below(6)
    if kind >= 3 and depth:
        operator = nearly(choices, ["AND", "OR", "NOT"])
        inner = choices.many(partial(any_filter, choices, type, depth - 1), 4)
        return {"operator": operator, "conditions": inner}
    if kind == 0 and choices.one_in(8):
        return choices.value()
    names = [
        choices.pick([*_FILTERS[type], "unknown"] if choices.one_in(20) else [*_FILTERS[type]])
        for _ in range(choices.below(3) + (depth < 4))
    ]
    return {name: nearly(choices, _FILTERS[type].get(name, [])) for name in names}


def _comparator(choices: Choices, type: str) -> Any:
    if choices.one_in(20):
        return choices.value()
    comparator: dict[str, Any] = {"property": nearly(choices, _SORTS[type])}
    if choices.below(2):
        comparator["isAscending"] = nearly(choices, [False, True])
    if choices.one_in(4):
        comparator["collation"] = choices.pick(_COLLATIONS)
    if "Keyword" in str(comparator["property"]):
        comparator["keyword"] = nearly(choices, ["$seen", "other", "$FLAGGED"])
    return comparator
