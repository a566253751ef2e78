"""The Email object as it is stored (RFC 8621 §4.1).

Three groups, kept apart by how they are used: what lists show and never changes, what changes
(``Live``), and what is only wanted when a message is opened (``Cold``). All that RFC 8621 calls
fast to fetch is here, so no request for it touches a message's bytes.
"""

import re
from typing import Annotated, Any, Literal, TypeAlias

from msgspec import Meta, field

from veredus.schema import BlobRef, Caseless, Cold, Immutable, Indexed, Internal, Live, Object, ServerSet
from veredus.wire.errors import SetError
from veredus.wire.types import BlobId, Id, JsonObject, UnsignedInt, UTCDate

# §4.1.1: 1 to 255 octets of %x21-7e, without ( ) { ] % * " \
_KEYWORD = re.compile(r"[!#$&'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]{1,255}\Z")
Keyword: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255, pattern=_KEYWORD.pattern)]

Addresses: TypeAlias = list[JsonObject] | None
Strings: TypeAlias = list[str] | None


class Email(Object, kw_only=True):
    """Stored properties of an Email. ``size`` in octets; ``headers`` are EmailHeader objects."""

    id: ServerSet[Id]
    blob_id: ServerSet[BlobRef[Indexed[BlobId]]]
    thread_id: ServerSet[Indexed[Id]]
    mailbox_ids: Live[Indexed[dict[Id, Literal[True]]]]
    keywords: Live[Indexed[Caseless[dict[Keyword, Literal[True]]]]] = {}
    size: ServerSet[UnsignedInt]
    received_at: Immutable[UTCDate]
    message_id: Immutable[Strings] = None
    in_reply_to: Immutable[Strings] = None
    references: Immutable[Strings] = None
    sender: Immutable[Addresses] = None
    from_: Immutable[Addresses] = field(name="from", default=None)
    to: Immutable[Addresses] = None
    cc: Immutable[Addresses] = None
    bcc: Immutable[Addresses] = None
    reply_to: Immutable[Addresses] = None
    subject: Immutable[str | None] = None
    sent_at: Immutable[str | None] = None
    has_attachment: ServerSet[bool] = False
    preview: ServerSet[str] = ""
    headers: Immutable[Cold[list[JsonObject]]] = []
    # Those of ``headers`` that hold encoded words, decoded.
    decoded_headers: Internal[Cold[list[JsonObject]]] = []
    # What sorts compare: address or name, base subject, UTC date (§4.4.2).
    sort_from: Internal[str] = ""
    sort_to: Internal[str] = ""
    sort_subject: Internal[str] = ""
    sort_sent_at: Internal[str] = ""
    # The root EmailBodyPart with all its properties (§4.1.4), and the part ids of the three lists.
    structure: Internal[Cold[JsonObject]] = {}
    lists: Internal[Cold[dict[str, list[str]]]] = {}
    # See mail.threading.
    thread_keys: Internal[Cold[Indexed[list[str]]]] = []
    # See mail.email.smime; None: it is no S/MIME, or was stored before there were verdicts.
    smime: Internal[Cold[Indexed[list[str]]]] = []
    smime_verdict: Internal[Cold[JsonObject | None]] = None


TEXT_FIELDS = ("from", "to", "cc", "bcc", "subject", "body")


def normalized_keywords(keywords: Any) -> JsonObject:
    """Keywords in lower case (§4.1.1); raises SetError when they are not a set of valid keywords."""
    if not isinstance(keywords, dict) or any(value is not True for value in keywords.values()):
        raise SetError.invalid_properties(["keywords"], "Must map keywords to true.")
    for keyword in keywords:
        if not _KEYWORD.match(keyword):
            raise SetError.invalid_properties(["keywords"], f"{keyword[:50]!r} is no keyword.")
    return {keyword.lower(): True for keyword in keywords}
