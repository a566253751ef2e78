"""EmailSubmission: an Email on its way to its recipients (RFC 8621 §7)."""

from collections.abc import Mapping
from typing import Any

import msgspec

from veredus.conditions import Condition, In, Order, Range
from veredus.mail.identity import CAPABILITY
from veredus.mail.submission.envelope import SubmissionLimits
from veredus.mail.submission.hooks import SubmissionHooks
from veredus.mail.submission.shape import TYPE, EmailSubmission
from veredus.schema import Access, DataType, Filter, by, equals
from veredus.wire.arguments import SetArguments
from veredus.wire.dates import whole_second
from veredus.wire.types import Id, JsonObject

# FUTURERELEASE names the latest moment, too (RFC 4865 §4); here the interval alone limits it.
_NO_LATEST = "9999-12-31T23:59:59Z"


class SubmissionSetArguments(SetArguments, kw_only=True):
    """EmailSubmission/set (§7.5). Keys are ids of submissions, or "#" and a creation id."""

    on_success_update_email: dict[str, JsonObject] | None = None
    on_success_destroy_email: list[str] | None = None

    def implied(self) -> int:
        """The Email/set must not fail once the messages have left."""
        return len(self.on_success_update_email or ()) + len(self.on_success_destroy_email or ())


def _one_of(property: str) -> Filter:
    def build(value: Any) -> Condition:
        return In(property, tuple(msgspec.convert(value, list[Id])))

    return build


async def change_emails(
    ctx: Access, args: SubmissionSetArguments, succeeded: Mapping[Id, JsonObject]
) -> None:
    """The one implicit Email/set (§7.5) for those submissions with which something was done."""

    def email_of(key: str) -> Id | None:
        submission = succeeded.get(ctx.created_ids.get(key[1:], "") if key.startswith("#") else key)
        return None if submission is None else submission["emailId"]

    update: dict[Id, JsonObject] = {}
    for key, patch in (args.on_success_update_email or {}).items():
        if (email := email_of(key)) is not None:
            # Several submissions may be of one Email.
            update[email] = {**update.get(email, {}), **patch}
    destroy = [email for key in args.on_success_destroy_email or () if (email := email_of(key)) is not None]
    if update or destroy:
        arguments = {"update": update or None, "destroy": list(dict.fromkeys(destroy)) or None}
        await ctx.call("Email/set", {"accountId": args.account_id, **arguments})


def account_capability(limits: SubmissionLimits) -> JsonObject:
    """``urn:ietf:params:jmap:submission`` of an account (§1.3.2)."""
    extensions: dict[str, list[str]] = {"DSN": [], "SIZE": [str(limits.max_size)]}
    if limits.max_delay_s:
        extensions["FUTURERELEASE"] = [str(limits.max_delay_s), _NO_LATEST]
    return {"maxDelayedSend": limits.max_delay_s, "submissionExtensions": extensions}


def submission_type(limits: SubmissionLimits) -> DataType:
    """The EmailSubmission data type."""
    return DataType(
        name=TYPE,
        capability=CAPABILITY,
        shape=EmailSubmission,
        prefix="s",
        methods=("get", "changes", "set", "query", "queryChanges"),
        filters={
            "identityIds": _one_of("identityId"),
            "emailIds": _one_of("emailId"),
            "threadIds": _one_of("threadId"),
            "undoStatus": equals("undoStatus"),
            "before": lambda value: Range("sendAt", below=whole_second(value)),
            "after": lambda value: Range("sendAt", at_least=whole_second(value)),
        },
        # RFC 8621 §7.3 says sentAt and has no such property.
        sorts={name: by(name) for name in ("emailId", "threadId", "sendAt")} | {"sentAt": by("sendAt")},
        default_sort=(Order("sendAt", ascending=False),),
        hooks=SubmissionHooks(limits),
        set_arguments=SubmissionSetArguments,
        then=change_emails,
        order="sendAt",
    )
