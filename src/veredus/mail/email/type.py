"""Email: the data type (RFC 8621 §4)."""

from collections.abc import Callable

from veredus.conditions import Order
from veredus.mail.email.admit import Admission, texts_in
from veredus.mail.email.body import EmailGetArguments, LoadPart, computed
from veredus.mail.email.filters import (
    FILTERS,
    SORTS,
    EmailQueryArguments,
    EmailQueryChangesArguments,
    known_total,
    refine,
)
from veredus.mail.email.hooks import EmailHooks
from veredus.mail.email.imports import ImportMethod
from veredus.mail.email.parse import ParseMethod
from veredus.mail.email.shape import TEXT_FIELDS, Email
from veredus.mail.email.smime import CAPABILITY as SMIME_CAPABILITY
from veredus.mail.email.smime import FILTERS as SMIME_FILTERS
from veredus.mail.mailbox_shape import CAPABILITY
from veredus.mail.removal import KeepChanged
from veredus.mail.settle import NEEDS
from veredus.schema import Access, DataType
from veredus.wire.types import JsonObject

# §4.2
DEFAULT_PROPERTIES = tuple(
    (
        "id blobId threadId mailboxIds keywords size receivedAt messageId inReplyTo references sender from "
        "to cc bcc replyTo subject sentAt hasAttachment preview bodyValues textBody htmlBody attachments"
    ).split()
)


def account_capability(admission: Admission, max_depth: int | None, max_name_size: int) -> JsonObject:
    """``urn:ietf:params:jmap:mail`` of an account (§1.3.1)."""
    return {
        "maxMailboxesPerEmail": admission.limits.max_mailboxes,
        "maxMailboxDepth": max_depth,
        "maxSizeMailboxName": max_name_size,
        "maxSizeAttachmentsPerEmail": admission.limits.max_attachments_size,
        "emailQuerySortOptions": sorted(SORTS),
        "mayCreateTopLevelMailbox": True,
    }


def email_type(
    admission: Admission,
    reader: Callable[[Access], LoadPart],
    domain: str,
    capability: JsonObject,
    keep: KeepChanged,
) -> DataType:
    """The Email data type. ``reader``: how body parts are read; ``domain``: of generated Message-IDs."""
    return DataType(
        name="Email",
        capability=CAPABILITY,
        shape=Email,
        prefix="e",
        filters=FILTERS,
        filter_capabilities=dict.fromkeys(SMIME_FILTERS, SMIME_CAPABILITY),
        sorts=SORTS,
        default_sort=(Order("receivedAt", ascending=False),),
        hooks=EmailHooks(admission, domain, keep),
        computed=(*computed(reader), admission.signatures.computed(reader)),
        extra=(ImportMethod(admission).method(), ParseMethod(reader).method()),
        default_properties=DEFAULT_PROPERTIES,
        get_arguments=EmailGetArguments,
        query_arguments=EmailQueryArguments,
        query_changes_arguments=EmailQueryChangesArguments,
        refine=refine,
        known_total=known_total,
        related_types={"threadId": "Thread"},
        update_needs=NEEDS,
        text_fields=TEXT_FIELDS,
        text_blob="blobId",
        text_in_blob=texts_in,
        order="receivedAt",
        covers=("threadId",),
        creations="EmailDelivery",
        account_capability=capability,
    )
