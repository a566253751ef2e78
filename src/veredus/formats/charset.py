"""Charset labels and decoding to legal JSON text (RFC 2978 names, WHATWG Encoding aliases).

Mail names its charsets carelessly: a label usually stands for the superset that
its sender's system used, so that is what is decoded (iso-8859-1 -> windows-1252).
"""

import codecs
from encodings import normalize_encoding
from encodings.aliases import aliases
from functools import lru_cache

# Label -> the codecs to try in order; where a plain Python codec of that name exists no entry is needed.
_SUPERSETS: dict[str, tuple[str, ...]] = {
    "utf-8": ("utf-8", "utf-8"),
    "iso-8859-1": ("cp1252",),
    "latin1": ("cp1252",),
    "windows-1252": ("cp1252",),
    "iso-8859-9": ("cp1254",),
    "latin5": ("cp1254",),
    "iso-8859-11": ("cp874",),
    "tis-620": ("cp874",),
    "windows-874": ("cp874",),
    "dos-874": ("cp874",),
    "iso-8859-8-i": ("iso8859-8",),
    "iso-8859-8-e": ("iso8859-8",),
    "iso-8859-6-i": ("iso8859-6",),
    "iso-8859-6-e": ("iso8859-6",),
    "logical": ("iso8859-8",),
    "visual": ("iso8859-8",),
    "ansi": ("cp1252",),
    "x-ansi": ("cp1252",),
    "euc-kr": ("cp949",),
    "ks-c-5601-1987": ("cp949",),
    "ks-c-5601-1989": ("cp949",),
    "ks-c-5601": ("cp949",),
    "ksc5601": ("cp949",),
    "ksc-5601": ("cp949",),
    "korean": ("cp949",),
    "iso-ir-149": ("cp949",),
    "windows-949": ("cp949",),
    "gb2312": ("gb18030",),
    "gbk": ("gb18030",),
    "x-gbk": ("gb18030",),
    "cp936": ("gb18030",),
    "windows-936": ("gb18030",),
    "chinese": ("gb18030",),
    "gb-2312-80": ("gb18030",),
    "iso-ir-58": ("gb18030",),
    "gb2312-1980": ("gb18030",),
    "hz-gb-2312": ("hz",),
    "big5": ("cp950", "big5hkscs"),
    "x-x-big5": ("cp950", "big5hkscs"),
    "cn-big5": ("cp950", "big5hkscs"),
    "big5-hkscs": ("big5hkscs", "cp950"),
    "shift-jis": ("cp932", "shift_jisx0213"),
    "shift_jis": ("cp932", "shift_jisx0213"),
    "sjis": ("cp932", "shift_jisx0213"),
    "x-sjis": ("cp932", "shift_jisx0213"),
    "windows-31j": ("cp932", "shift_jisx0213"),
    "ms-kanji": ("cp932", "shift_jisx0213"),
    "euc-jp": ("euc_jp", "euc_jis_2004"),
    "x-euc-jp": ("euc_jp", "euc_jis_2004"),
    # The extended tables: half-width katakana and NEC rows are common in real mail.
    "iso-2022-jp": ("iso2022_jp", "iso2022_jp_ext", "iso2022_jp_2004", "iso2022_jp_2"),
    "macintosh": ("mac_roman",),
    "mac": ("mac_roman",),
    "x-mac-roman": ("mac_roman",),
    "x-mac-cyrillic": ("mac_cyrillic",),
    "x-mac-ukrainian": ("mac_cyrillic",),
    "x-mac-ce": ("mac_latin2",),
    "x-mac-centraleurroman": ("mac_latin2",),
    "x-mac-greek": ("mac_greek",),
    "x-mac-turkish": ("mac_turkish",),
    "x-mac-icelandic": ("mac_iceland",),
    "koi": ("koi8-r",),
    "koi8": ("koi8-r",),
    "x-koi8-r": ("koi8-r",),
    "koi8-ru": ("koi8-u",),
    "x-cp1250": ("cp1250",),
    "x-cp1251": ("cp1251",),
    "x-cp1252": ("cp1252",),
    "utf8": ("utf-8",),
    "utf-8mb4": ("utf-8",),
    "utf8mb4": ("utf-8",),
    "unicode-1-1-utf-8": ("utf-8",),
    "unicode-1-1-utf-7": ("utf-7",),
    "unicode": ("utf-16",),
    "iso-10646-ucs-2": ("utf-16",),
    "ucs-2": ("utf-16",),
}
_ASCII_LABELS = frozenset(
    {"us-ascii", "ascii", "us", "ansi-x3.4-1968", "iso646-us", "iso-ir-6", "646", "cp367"}
)
# "Text encodings" of Python that no message means, some of which are not even functions of the bytes alone.
_NOT_CHARSETS = frozenset(
    {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"}
)
_PYTHON_NAMES = frozenset(
    {*aliases, *aliases.values(), "koi8_u", "koi8_t", "cp720", "cp737", "cp856", "cp874", "cp875", "cp1006"}
    | {"mac_arabic", "mac_croatian", "mac_farsi", "mac_romanian", "utf_8_sig"}
) - {"mbcs", "oem"}
# 7-bit bytes do not mean ASCII in these.
_NOT_ASCII_BASED = frozenset(
    {"utf-7", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "hz"}
)
_MAX_LABEL = 64


@lru_cache(maxsize=512)
def codecs_of(label: str) -> tuple[str, ...]:
    """Python codecs to try for ``label``, best first; empty when the charset is unknown."""
    name = label.strip(" \t\r\n\"'").lower().replace("_", "-")
    if name in _ASCII_LABELS:
        return ("ascii",)
    if found := _SUPERSETS.get(name):
        return found
    for candidate in (name, name.removeprefix("x-"), name.replace("windows", "cp").replace("-", "")):
        python_name = normalize_encoding(candidate)
        # codecs.lookup() of anything else would try an import and remember the label for ever.
        if python_name in _PYTHON_NAMES:
            codec = codecs.lookup(python_name)
            if codec._is_text_encoding and codec.name not in _NOT_CHARSETS:
                return (codec.name,)
    return ()


def is_known(label: str) -> bool:
    """True if text labelled ``label`` can be decoded without guessing."""
    return len(label) <= _MAX_LABEL and bool(codecs_of(label))


def decode(data: bytes, label: str | None) -> tuple[str, bool]:
    """Text of ``data`` and whether there was a problem (unknown charset, malformed octets).

    Malformed sections become U+FFFD (RFC 8621 §4.1.4); text without a usable
    label is UTF-8 if it can be, else windows-1252. Never raises.
    """
    names = codecs_of(label) if label and len(label) <= _MAX_LABEL else ()
    if data.isascii() and not (names and (names[0] in _NOT_ASCII_BASED or names[0].startswith("iso2022"))):
        return data.decode("ascii"), not names and bool(label)
    if not names or names[0] == "ascii":
        return guess(data), True
    for name in names:
        try:
            return _legal(data.decode(name)), False
        except (UnicodeError, ValueError):
            continue
    return _legal(data.decode(names[0], "replace")), True


def guess(data: bytes) -> str:
    """Text of unlabelled 8-bit ``data``: UTF-8 if it is well-formed, else windows-1252."""
    try:
        return data.decode("utf-8")
    except UnicodeError:
        return data.decode("cp1252", "replace")


def _legal(text: str) -> str:
    """``text`` without lone surrogates (UTF-7 and a few table codecs can spell them): legal JSON text."""
    try:
        text.encode("utf-8")
    except UnicodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
