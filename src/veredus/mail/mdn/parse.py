"""MDN/parse (RFC 9007 §2.2)."""

from veredus.conditions import Eq, HasAny
from veredus.formats.mime import message as messages
from veredus.formats.mime.encoded_word import as_text
from veredus.formats.mime.header import last_fields
from veredus.formats.mime.message import Message
from veredus.formats.report import Mdn, Report, parse_report
from veredus.mail.mdn.shape import MODES, SENDING_MODES, TYPES, as_json
from veredus.mail.threading import thread_keys
from veredus.ports import Snapshot
from veredus.schema import Access, Method
from veredus.wire.arguments import AccountArguments
from veredus.wire.errors import MethodError
from veredus.wire.types import BlobId, Id, JsonObject

# Emails that are looked at to find the one that an MDN is about.
_MAX_CANDIDATES = 100


class ParseArguments(AccountArguments, kw_only=True):
    """MDN/parse."""

    blob_ids: list[str]


async def parse(ctx: Access, args: ParseArguments) -> JsonObject:
    """Show blobs as MDNs."""
    if len(args.blob_ids) > ctx.limit("maxObjectsInGet"):
        raise MethodError.request_too_large(f"At most {ctx.limit('maxObjectsInGet')} blobs in one call.")
    parsed: dict[BlobId, JsonObject] = {}
    not_parsable, not_found = [], []
    for id in dict.fromkeys(args.blob_ids):
        data = await ctx.load_blob(id)
        if data is None:
            not_found.append(id)
            continue
        message = messages.parse(data)
        report = parse_report(message)
        if report is None or report.mdn is None or not _is_known(report.mdn):
            not_parsable.append(id)
        else:
            parsed[id] = await _shown(ctx, message, report, report.mdn)
    return {
        "accountId": args.account_id,
        "parsed": parsed or None,
        "notParsable": not_parsable or None,
        "notFound": not_found or None,
    }


def parse_method() -> Method:
    return Method("MDN/parse", ParseArguments, parse)


def _is_known(mdn: Mdn) -> bool:
    """The values of a Disposition are those of §2 alone."""
    said = mdn.disposition
    return said.action_mode in MODES and said.sending_mode in SENDING_MODES and said.type in TYPES


async def _shown(ctx: Access, message: Message, report: Report, mdn: Mdn) -> JsonObject:
    subject = last_fields(message.headers).get("subject")
    returned = [part for part in message.root.sub_parts if part.type in ("message/rfc822", "message/global")]
    about = None
    if mdn.original_message_id:
        subjects = [as_text(subject or ""), *(_subject(part.content()[:65_536]) for part in returned[:1])]
        async with ctx.read() as snapshot:
            about = await _email_of(snapshot, mdn.original_message_id, subjects)
    return as_json(
        mdn,
        forEmailId=about,
        subject=None if subject is None else as_text(subject),
        textBody=report.text or None,
        includeOriginalMessage=bool(returned),
    )


def _subject(original: bytes) -> str:
    return as_text(last_fields(messages.parse(original).headers).get("subject", ""))


async def _email_of(snapshot: Snapshot, message_id: str, subjects: list[str]) -> Id | None:
    """The Email with this Message-ID; None: there is none that is quickly found, or more than one.

    One that was sent from here is found by its EmailSubmission, others as those of one Thread are: by the
    Message-ID with the subject, which an MDN mostly repeats after a word and a colon.
    """
    sent = await snapshot.select("EmailSubmission", Eq("messageId", message_id), limit=_MAX_CANDIDATES)
    ids = {record["emailId"] for record in await snapshot.get("EmailSubmission", sent, {"emailId"})}
    subjects += [subject.partition(": ")[2] for subject in subjects]
    keys = {key for one in subjects for key in thread_keys({"messageId": [message_id], "subject": one})}
    ids.update(
        await snapshot.select("Email", HasAny("threadKeys", tuple(sorted(keys))), limit=_MAX_CANDIDATES)
    )
    emails = await snapshot.get("Email", list(ids), {"messageId"})
    found = [email["id"] for email in emails if message_id in (email["messageId"] or ())]
    return found[0] if len(found) == 1 else None
