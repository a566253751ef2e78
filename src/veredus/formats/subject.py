"""Base subject of a message (RFC 5256 §2.1), used to sort by subject and to compare the subjects of a thread.

Every pattern is possessive and every loop only moves inwards, so the time is linear in the subject's length.
"""

from __future__ import annotations

import re

# The RFC knows "re", "fw" and "fwd" alone. The others are what Outlook, Lotus Notes and webmails write in
# their users' languages; without them a thread falls apart as soon as one client is localised.
# One-letter prefixes (Italian "R:" and "I:") are left out: too many real subjects begin like that.
_REPLY_WORDS = (
    *("re", "fw", "fwd"),
    *("aw", "antw", "wg"),  # German
    *("antwoord", "doorst"),  # Dutch
    *("sv", "vs", "vb", "vl"),  # Swedish, Danish, Norwegian, Finnish
    *("rv", "tr", "res", "enc", "rif"),  # Spanish, French, Portuguese, Italian
    *(
        "odp",
        "pd",
        "ynt",
        "ilt",
        "vá",
        "továbbítás",
        "απ",
        "πρθ",
        "отв",
        "пер",
    ),  # Polish, Turkish, Hungarian, Greek, Russian
    *("回复", "答复", "转发", "回覆", "答覆", "轉寄", "轉發", "返信", "転送", "회신", "전달"),
)

_BLOB = r"\[[^\[\]]*+\]\s*+"
_WORDS = "|".join(sorted(_REPLY_WORDS, key=len, reverse=True))
_BLOBS = re.compile(rf"(?:{_BLOB})*+")
# Older clients count replies: "Re(2):", "Re^2:", "Re*2:"; "Re[2]:" is the blob of the grammar.
_REFWD = re.compile(rf"(?:{_WORDS})\s*+(?:\(\d++\)|[*^]\d++)?+\s*+(?:{_BLOB})?+[:：]\s*+", re.IGNORECASE)
_FWD_HDR = "[fwd:"
_FWD_TRL = "]"
_TRAILER = "(fwd)"


def base_subject(subject: str) -> str:
    """``subject`` (already decoded, RFC 8621's Text form) without what replying and forwarding adds.

    White space is collapsed, the case is kept: the caller compares by the collation it was asked for.
    """
    text = " ".join(subject.split())
    folded = text.lower()
    if len(folded) != len(text):  # "İ" lower-cases to two characters; offsets into text must hold
        folded = text
    start, end = 0, len(text)
    while True:
        end = _without_trailers(folded, start, end)
        start = _without_leaders(folded, start, end)
        if not (folded.startswith(_FWD_HDR, start, end) and folded.endswith(_FWD_TRL, start, end)):
            return text[start:end]
        start, end = _skip_space(folded, start + len(_FWD_HDR), end - 1), end - len(_FWD_TRL)


def _without_trailers(text: str, start: int, end: int) -> int:
    """Step 2: the end of ``text[start:end]`` before any subj-trailer."""
    while end > start:
        if text[end - 1] == " ":
            end -= 1
        elif text.endswith(_TRAILER, start, end):
            end -= len(_TRAILER)
        else:
            break
    return end


def _without_leaders(text: str, start: int, end: int) -> int:
    """Steps 3 to 5: the start of ``text[start:end]`` after subj-leaders and subj-blobs."""
    while True:
        blobs = _BLOBS.match(text, start, end)
        after_blobs = blobs.end() if blobs else start
        refwd = _REFWD.match(text, after_blobs, end)
        if refwd:
            start = refwd.end()
        elif after_blobs < end:
            return after_blobs
        else:
            # Only blobs are left: the last of them is the subj-base.
            return max(start, text.rfind("[", start, end))


def _skip_space(text: str, start: int, end: int) -> int:
    return start + 1 if start < end and text[start] == " " else start
