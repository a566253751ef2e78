"""SearchSnippet: where a search found what it was for (RFC 8621 §5)."""

from collections.abc import Callable, Iterable
from typing import Any

from veredus.conditions import All, Any_, Condition, Text
from veredus.formats.search import Phrase
from veredus.formats.snippet import highlight
from veredus.mail.email.body import LoadPart
from veredus.mail.email.describe import plain_text
from veredus.schema import Access, DataType, Method
from veredus.wire.arguments import AccountArguments
from veredus.wire.errors import MethodError
from veredus.wire.types import Id, JsonObject

# §5: the length of a preview in octets.
MAX_PREVIEW = 255
# So much of a body part is looked at, in characters.
MAX_TEXT = 256 * 1024


class SnippetArguments(AccountArguments, kw_only=True):
    """SearchSnippet/get (§5.1)."""

    filter: Any = None
    email_ids: list[Id]


class SnippetMethod:
    """SearchSnippet/get. ``compile``: how Email/query understands a filter."""

    def __init__(
        self,
        compile: Callable[[Access, DataType, Any], Condition],
        email: DataType,
        reader: Callable[[Access], LoadPart],
    ) -> None:
        self._compile, self._email, self._reader = compile, email, reader

    def method(self) -> Method:
        return Method("SearchSnippet/get", SnippetArguments, self.run)

    async def run(self, ctx: Access, args: SnippetArguments) -> JsonObject:
        """Subject and a passage of the body of each Email, with what was searched marked."""
        if len(args.email_ids) > ctx.limit("maxObjectsInGet"):
            raise MethodError.request_too_large(f"At most {ctx.limit('maxObjectsInGet')} Emails in one call.")
        searched = list(_texts(self._compile(ctx, self._email, args.filter)))
        subject, body = _phrases(searched, "subject"), _phrases(searched, "body")
        load = self._reader(ctx)
        ids = list(dict.fromkeys(args.email_ids))
        async with ctx.read() as snapshot:
            needs = {"subject", "structure", "lists"} if body else {"subject"}
            found = {record["id"]: record for record in await snapshot.get("Email", ids, needs)}
        snippets = []
        for id in ids:
            if id in found:
                email = found[id]
                marked = (
                    highlight(email["subject"], subject, max_octets=None)
                    if subject and email["subject"]
                    else None
                )
                preview = await _preview(load, email, body) if body else None
                snippets.append({"emailId": id, "subject": marked, "preview": preview})
        missing = [id for id in ids if id not in found]
        return {"accountId": args.account_id, "list": snippets, "notFound": missing or None}


def _texts(condition: Condition) -> Iterable[Text]:
    """What is searched for; what is under a NOT is not."""
    match condition:
        case Text():
            yield condition
        case All(of) | Any_(of):
            for part in of:
                yield from _texts(part)


def _phrases(searched: Iterable[Text], field: str) -> tuple[Phrase, ...]:
    return tuple(
        dict.fromkeys(phrase for text in searched if field in text.fields for phrase in text.phrases)
    )


async def _preview(load: LoadPart, email: JsonObject, phrases: tuple[Phrase, ...]) -> str | None:
    for part in _text_parts(email):
        content = await load(part["blobId"])
        if content is None:
            continue
        text = plain_text(content, part["charset"], part["type"])[:MAX_TEXT]
        found = highlight(text, phrases, max_octets=MAX_PREVIEW)
        if found is not None:
            return found
    return None


def _text_parts(email: JsonObject) -> list[JsonObject]:
    wanted = set(email["lists"]["textBody"])
    found = []
    stack = [email["structure"]]
    while stack:
        part = stack.pop()
        stack.extend(reversed(part.get("subParts") or ()))
        if part["partId"] in wanted and part["type"].startswith("text/"):
            found.append(part)
    return found
