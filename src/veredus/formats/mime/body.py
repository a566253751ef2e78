"""Decomposing the body structure into part lists (RFC 8621 §4.1.4)."""

from collections.abc import Sequence

from veredus.formats.mime.part import Part

Lists = tuple[list[Part], list[Part], list[Part]]


def body_lists(root: Part) -> Lists:
    """textBody, htmlBody and attachments: the algorithm that §4.1.4 suggests, as it stands there."""
    text: list[Part] = []
    html: list[Part] = []
    attachments: list[Part] = []
    _parse_structure([root], "mixed", False, text, html, attachments)
    return text, html, attachments


def _is_inline_media_type(type_: str) -> bool:
    return type_.startswith(("image/", "audio/", "video/"))


def _is_inline(part: Part, index: int, multipart_type: str) -> bool:
    """Is this a body part rather than an attachment?

    Only the first part of a multipart/related can be inline; a text part with a file name is
    taken for an attachment unless it is the first item of its multipart.
    """
    media = _is_inline_media_type(part.type)
    return (
        part.disposition != "attachment"
        and (media or part.type in ("text/plain", "text/html"))
        and (index == 0 or (multipart_type != "related" and (media or not part.name)))
    )


def _parse_structure(
    parts: Sequence[Part],
    multipart_type: str,
    in_alternative: bool,
    text: list[Part] | None,
    html: list[Part] | None,
    attachments: list[Part],
) -> None:
    """``text`` or ``html`` is None when its alternative has already been chosen."""
    lengths = (len(text) if text is not None else -1, len(html) if html is not None else -1)
    for index, part in enumerate(parts):
        if part.is_multipart:
            subtype = part.type.split("/")[1]
            nested = in_alternative or subtype == "alternative"
            _parse_structure(part.sub_parts, subtype, nested, text, html, attachments)
        elif not _is_inline(part, index, multipart_type):
            attachments.append(part)
        elif multipart_type == "alternative":
            _alternative(part, text, html, attachments)
        else:
            if in_alternative and part.type == "text/plain":
                html = None
            if in_alternative and part.type == "text/html":
                text = None
            _sequential(part, text, html, attachments)
    if multipart_type == "alternative" and text is not None and html is not None:
        _complete_alternative(lengths, text, html)


def _alternative(
    part: Part, text: list[Part] | None, html: list[Part] | None, attachments: list[Part]
) -> None:
    """Place one direct child of a multipart/alternative."""
    if part.type == "text/plain":
        wanted = text
    elif part.type == "text/html":
        wanted = html
    else:
        wanted = attachments
    if wanted is not None:
        wanted.append(part)


def _sequential(
    part: Part, text: list[Part] | None, html: list[Part] | None, attachments: list[Part]
) -> None:
    """Place a part that is shown one after the other with its siblings."""
    if text is not None:
        text.append(part)
    if html is not None:
        html.append(part)
    if (text is None or html is None) and _is_inline_media_type(part.type):
        attachments.append(part)


def _complete_alternative(lengths: tuple[int, int], text: list[Part], html: list[Part]) -> None:
    """Show the only kind of text that a multipart/alternative has in both lists."""
    text_length, html_length = lengths
    if text_length == len(text) and html_length != len(html):
        text.extend(html[html_length:])
    if html_length == len(html) and text_length != len(text):
        html.extend(text[text_length:])


# What a client handles by itself, unless the sender calls it an attachment: signatures and reports.
_AUTOMATIC = frozenset(
    {
        "application/pgp-signature",
        "application/pkcs7-signature",
        "application/x-pkcs7-signature",
        "message/delivery-status",
        "message/disposition-notification",
        "message/feedback-report",
        "message/global-delivery-status",
        "message/global-disposition-notification",
        "message/rfc822-headers",
        "text/rfc822-headers",
    }
)


def is_downloadable(part: Part) -> bool:
    """True if a client should offer this item of the attachments list (§4.1.4, hasAttachment)."""
    if part.disposition is None:
        # Pictures with a Content-Id are shown by the HTML that refers to them.
        return not (part.type in _AUTOMATIC or (part.cid and _is_inline_media_type(part.type)))
    return part.disposition != "inline" and not part.type.endswith(("pkcs7-signature", "pgp-signature"))
