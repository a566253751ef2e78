"""Requests for the fuzz targets: whole ones to start from, and nearly right ones made by choices."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from tools.fuzz_input import Choices
from tools.fuzz_queries import DATES, IDS, WORDS, any_filter, nearly, query_arguments

USING = [
    "urn:ietf:params:jmap:core",
    "urn:ietf:params:jmap:mail",
    "urn:ietf:params:jmap:quota",
    "urn:ietf:params:jmap:blob",
]

_OF_TYPE = {
    "Email": ["@e0", "@e1", "@e2", "#c0"],
    "Mailbox": ["@inbox", "@trash", "@drafts", "@archive", "#c0"],
    "Thread": ["@t0", "@t1", "@t2"],
    "Blob": ["@b0", "@b1", "@ob0"],
    "Quota": ["count", "octets"],
}
_STATES = ["0", "9", "10", "15", "20", "25", "1", "99999", "-1", "x", "", "1.0", "٣"]

_PROPERTIES = {
    "Email": (
        "id blobId threadId mailboxIds keywords size receivedAt messageId from to subject sentAt "
        "hasAttachment preview "
        "bodyStructure bodyValues textBody htmlBody attachments headers header:From header:X:asText:all "
        "header:Date:asURLs x"
    ).split(),
    "Mailbox": "id name parentId role sortOrder totalEmails unreadThreads isSubscribed myRights".split(),
    "Thread": ["id", "emailIds"],
    "Quota": ["id", "used", "types"],
}
_METHODS = [
    *(f"{type}/{verb}" for type in ("Email", "Mailbox") for verb in ("set", "get", "query", "changes",
    "queryChanges", "copy")),
    *("Thread/get", "Thread/changes", "Quota/get", "Quota/changes", "Quota/query", "Quota/queryChanges"),
    *("Email/import", "Email/parse", "SearchSnippet/get", "Blob/upload", "Blob/get", "Blob/lookup",
    "Blob/copy", "Core/echo", "X/y"),
]  # fmt: skip


def method_calls(choices: Choices) -> list[Any]:
    """A few calls, in which nearly all is right."""
    return [_call(choices, number) for number in range(1 + choices.below(5))]


def _call(choices: Choices, number: int) -> Any:
    method = choices.pick(_METHODS)
    type, _, verb = method.partition("/")
    make: Callable[[Choices, str], dict[str, Any]] = _ARGUMENTS.get(method) or _VERBS.get(verb) or _anything
    arguments = {
        "accountId": "@account" if not choices.one_in(30) else choices.value(),
        **make(choices, type),
    }
    if choices.one_in(40):
        arguments[choices.pick(["ids", "ifInState", "create", "filter", "x"])] = choices.value()
    if choices.one_in(10) and number:
        path = choices.pick(
            [
                "/ids",
                "/list/*/id",
                "/created/c0/id",
                "/list/*/mailboxIds/*",
                "/",
                "",
                "x",
                "/list/0/emailIds/*",
            ]
        )
        arguments.pop("ids", None)
        reference = {"resultOf": f"c{choices.below(number)}", "name": choices.pick(_METHODS), "path": path}
        arguments[choices.pick(["#ids", "#destroy", "#x"])] = reference
    return [method, arguments, f"c{number}"]


def _without(arguments: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in arguments.items() if key != name}


def _anything(choices: Choices, type: str) -> dict[str, Any]:
    return {choices.pick(["ids", "blobIds", "emails", "create", "x"]): choices.value()}


def _ids(choices: Choices, type: str) -> list[Any]:
    return choices.many(partial(_id, choices, type), 4)


def _id(choices: Choices, type: str) -> str:
    return choices.pick(_OF_TYPE.get(type, IDS) if choices.below(8) else IDS)


def _get(choices: Choices, type: str) -> dict[str, Any]:
    arguments: dict[str, Any] = {"ids": choices.pick([None, _ids(choices, type)])}
    if choices.below(2):
        arguments["properties"] = choices.many(partial(nearly, choices, _PROPERTIES.get(type, ["id"])), 5)
    if type == "Email" and choices.below(2):
        arguments["fetchAllBodyValues"] = True
        arguments["maxBodyValueBytes"] = nearly(choices, [0, 1, 10])
        arguments["bodyProperties"] = choices.many(
            partial(choices.pick, ["partId", "headers", "subParts", "header:X", "x"]), 3
        )
    return arguments


def _changes(choices: Choices, type: str) -> dict[str, Any]:
    return {"sinceState": nearly(choices, _STATES), "maxChanges": nearly(choices, [None, 1, 2, 0])}


def _query_changes(choices: Choices, type: str) -> dict[str, Any]:
    asked = query_arguments(choices, type)
    names = ("filter", "sort", "calculateTotal", "collapseThreads")
    kept: dict[str, Any] = {name: asked[name] for name in names if name in asked}
    return {**kept, "sinceQueryState": nearly(choices, _STATES), "upToId": choices.pick([None, "@e0", "x"])}


_VALUES: dict[str, list[Any]] = {
    "mailboxIds": [
        *([{"@inbox": True}, {"@inbox": True, "@trash": True}, {"@drafts": True}] * 4),
        {"@inbox": True, "#c0": True}, {}, {"@trash": False}, {"nothing": True},
    ],
    "keywords": [*([{"$seen": True}, {}, {"A": True, "a": True}] * 3), {"": True}, {"x": False}, {"é": True}],
    "receivedAt": [*DATES, *DATES, "2026-13-01T00:00:00Z", "2026-01-01T00:00:00+01:00"],
    "subject": WORDS,
    "from": [[{"name": "A \"b\" c", "email": "a@b"}], [{"email": "a\r\nX: y"}], [{}], []],
    "messageId": [["a@b"], ["<a>"], []],
    "textBody": [*([[{"partId": "1", "type": "text/plain"}]] * 5), [{"partId": "2"}], [{"blobId": "@b0",
    "type": "text/plain"}], []],
    "htmlBody": [[{"partId": "1", "type": "text/html"}], [{"partId": "1", "type": "text/plain"}]],
    "attachments": [[{"blobId": "@b0", "type": "message/rfc822", "name": "é"}], [{"blobId": "nothing"}],
    [{"partId": "1"}]],
    "bodyStructure": [
        {"type": "multipart/mixed", "subParts": [{"partId": "1", "type": "text/plain"}, {"blobId": "@b1"}]},
        {"type": "multipart/x", "subParts": []},
        {"partId": "1", "type": "text/plain", "header:X": " y", "headers": []},
    ],
    "bodyValues": [*([{"1": {"value": "text\r\nGrüße"}}] * 4), {"1": {"value": "x" * 2000}},
    {"1": {"value": "", "isTruncated": True}}],
    "header:X-A": [" x", "x\r\ny", "é"],
    "header:From:asAddresses": [[{"name": None, "email": "a@b"}]],
    "header:X:asDate": ["2026-01-01T00:00:00+01:00", "x"],
    "name": ["a", "b", "c", "d", "Inbox", "é", "e\u0301", "/", "", "a\nb", "x" * 600],
    "parentId": [None, "@inbox", "#c0", "#c1", "@trash", "nothing"],
    "role": [None, "inbox", "junk", "trash", "x", "Junk"],
    "sortOrder": [0, 1, 2**53],
    "isSubscribed": [True, False],
    "id": ["@e0"],
    "totalEmails": [0, 5],
}  # fmt: skip
_EMAIL_SET = [
    name
    for name in _VALUES
    if name
    not in (
        "id",
        "bodyStructure",
        "textBody",
        "htmlBody",
        "name",
        "parentId",
        "role",
        "sortOrder",
        "isSubscribed",
        "totalEmails",
    )
]
_MAILBOX_SET = [*(["name", "parentId", "role", "sortOrder", "isSubscribed"] * 3), "id", "totalEmails"]
_POINTERS = [
    *(["mailboxIds/@inbox", "mailboxIds/@trash", "keywords/$seen", "keywords/x"] * 4),
    "mailboxIds/@inbox", "mailboxIds/@trash", "mailboxIds/#c0", "keywords/$seen", "keywords/$SEEN",
    "keywords/x", "keywords",
    "keywords/a~1b", "keywords/~2", "mailboxIds", "subject", "from/0/name", "keywords/a/b", "x/y", "",
]  # fmt: skip


def _record(choices: Choices, type: str) -> dict[str, Any]:
    """The properties of a creation: those that are needed, nearly always, and some others."""
    names = (
        ["name"]
        if type == "Mailbox"
        else [
            "mailboxIds",
            "bodyValues",
            choices.pick(["textBody", "textBody", "textBody", "htmlBody", "bodyStructure"]),
        ]
    )
    names += choices.many(partial(choices.pick, _MAILBOX_SET if type == "Mailbox" else _EMAIL_SET), 2)
    return {name: nearly(choices, _VALUES[name]) for name in names if not choices.one_in(20)}


def _set(choices: Choices, type: str) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    if choices.below(2):
        arguments["create"] = {f"c{number}": _record(choices, type) for number in range(choices.below(4))}
    if choices.below(2):
        targets = choices.many(partial(_id, choices, type), 3)
        arguments["update"] = {target: _changes_of(choices, type) for target in targets}
    if choices.below(2):
        arguments["destroy"] = _ids(choices, type)
    if type == "Mailbox":
        arguments["onDestroyRemoveEmails"] = bool(choices.below(2))
    if choices.one_in(10):
        arguments["ifInState"] = choices.pick(_STATES)
    return arguments


def _changes_of(choices: Choices, type: str) -> dict[str, Any]:
    if type == "Mailbox":
        return {
            name: nearly(choices, _VALUES[name])
            for name in choices.many(partial(choices.pick, _MAILBOX_SET), 3)
        }
    pointers = choices.many(partial(choices.pick, _POINTERS), 3)
    return {
        pointer: nearly(choices, [True, None] if "/" in pointer else _VALUES.get(pointer, [None]))
        for pointer in pointers
    }


def _copy(choices: Choices, type: str) -> dict[str, Any]:
    create = {
        f"c{number}": {"id": choices.pick(["@oe0", "@oe1", "@e0", "x"]), "mailboxIds": {"@inbox": True}}
        for number in range(choices.below(3))
    }
    return {
        "fromAccountId": choices.pick(["@account", "@oaccount", "@oaccount", "nothing"]),
        "create": create,
    }


def _import(choices: Choices, type: str) -> dict[str, Any]:
    def one() -> dict[str, Any]:
        names = ["mailboxIds", *choices.many(partial(choices.pick, ["keywords", "receivedAt", "x"]), 2)]
        values = {name: nearly(choices, _VALUES.get(name, [1])) for name in names}
        return {"blobId": nearly(choices, ["@b0", "@b1", "nothing"]), **values}

    return {"emails": {f"c{number}": one() for number in range(choices.below(4))}}


def _upload(choices: Choices, type: str) -> dict[str, Any]:
    def source() -> Any:
        sources: list[Any] = [
            {"data:asText": choices.text(40)}, {"data:asBase64": choices.pick(["aGk=", "a", "!", "=", ""])},
            {"blobId": choices.pick(IDS), "offset": choices.pick([0, 1, 10**9, -1]),
            "length": choices.pick([None, 1, 10**9])},
        ]  # fmt: skip
        return nearly(choices, sources)

    return {
        "create": {
            f"c{number}": {"data": choices.many(source, 3), "type": "x"} for number in range(choices.below(3))
        }
    }


def _blob_get(choices: Choices, type: str) -> dict[str, Any]:
    names = [
        "data",
        "data:asText",
        "data:asBase64",
        "size",
        "digest:sha",
        "digest:sha-256",
        "digest:x",
        "digest:",
    ]
    return {
        "ids": _ids(choices, "Blob"), "properties": choices.many(partial(nearly, choices, names), 4),
        "offset": nearly(choices, [0, 1, 10**9]), "length": nearly(choices, [None, 0, 1, 10**9]),
    }  # fmt: skip


_VERBS: dict[str, Callable[[Choices, str], dict[str, Any]]] = {
    "get": _get, "set": _set, "changes": _changes, "query": query_arguments, "queryChanges": _query_changes,
    "copy": _copy,
}  # fmt: skip
_ARGUMENTS: dict[str, Callable[[Choices, str], dict[str, Any]]] = {
    "Email/import": _import,
    "Email/parse": lambda choices, type: {
        **_without(_get(choices, "Email"), "ids"),
        "blobIds": _ids(choices, "Blob"),
    },
    "SearchSnippet/get": lambda choices, type: {
        "emailIds": _ids(choices, "Email"),
        "filter": any_filter(choices, "Email", 3),
    },
    "Blob/upload": _upload,
    "Blob/get": _blob_get,
    "Blob/lookup": lambda choices, type: {
        "ids": _ids(choices, "Blob"),
        "typeNames": nearly(choices, [["Email"], ["Mailbox"], []]),
    },
    "Blob/copy": lambda choices, type: {
        "fromAccountId": choices.pick(["@account", "@oaccount"]),
        "blobIds": _ids(choices, "Blob"),
    },
}


def requests() -> list[bytes]:
    """Whole requests to mutate, at least one of each method."""
    made = []
    for number, method in enumerate(_METHODS * 3):
        type, _, verb = method.partition("/")
        choices = Choices(bytes(((number * 7919 + at) * 2654435761 >> 7) % 251 for at in range(120)))
        arguments = (_ARGUMENTS.get(method) or _VERBS.get(verb) or _anything)(choices, type)
        call = [method, {"accountId": "@account", **arguments}, "c0"]
        made.append(
            json.dumps({"using": USING, "methodCalls": [call]}, ensure_ascii=bool(number % 2)).encode()
        )
    return made
