"""The syntax of SMTP command arguments: paths, mailboxes, parameters, BDAT (RFC 5321 §4.1, 6531, 3030)."""

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from veredus.formats.smtp_values import Body, Reply

# RFC 6531 §3.3 widens atext, qtext and sub-domain by everything beyond ASCII; C1 controls stay out.
_UTF8 = "\u00a0-\ud7ff\ue000-\U0010ffff"
_ATOM = rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~{_UTF8}-]+"
_DOT_STRING = rf"{_ATOM}(?:\.{_ATOM})*"
_QUOTED_STRING = rf'"(?:[ !#-\[\]-~{_UTF8}]|\\[ -~])*"'
# The underscore is no letter of a host name, but names with it send mail.
_LABEL = rf"[A-Za-z0-9_{_UTF8}](?:[A-Za-z0-9_{_UTF8}-]*[A-Za-z0-9_{_UTF8}])?"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*"
_PATH = re.compile(
    rf" *<(?:@{_DOMAIN}(?:,@{_DOMAIN})*:)?"
    rf"(?:(?P<local>{_DOT_STRING}|{_QUOTED_STRING})@(?P<domain>{_DOMAIN}|\[[A-Za-z0-9:.]+\])|(?P<postmaster>(?i:postmaster)))?"
    # IGNORECASE for the whole would take 0.4 s to compile: it walks through the ranges beyond ASCII.
    r">(?: +(?P<parameters>.*))?"
)
_DOT_ATOM = re.compile(_DOT_STRING)
_QUOTED_PAIR = re.compile(r"\\(.)")
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~\u00a0-\U0010ffff]+))?")
_SIZE = re.compile(r"[0-9]{1,20}")
_CHUNK = re.compile(r"([0-9]{1,20})(?: +(LAST))?", re.IGNORECASE)
# §4.5.3.1.1-3: 64, 255 and 256 octets. Longer local parts are sent (VERP, SRS): only the whole is bounded.
_MAILBOX_OCTETS = 320


class Refusal(Exception):
    """A command that the session answers with ``reply`` and otherwise ignores."""

    def __init__(self, code: int, enhanced: str, text: str) -> None:
        super().__init__(text)
        self.reply = Reply(code, enhanced, text)

    @classmethod
    def of(cls, reply: Reply) -> "Refusal":
        return cls(reply.code, reply.enhanced, reply.text)


def path(keyword: Literal["FROM", "TO"], argument: str) -> tuple[str, dict[str, str | None]]:
    """The mailbox of a reverse-path or forward-path ("": the null one) and the parameters after it (§4.1.2).

    A source route is read over (§4.1.1.3, appendix C). Quotes that a local part does not need are
    taken off, since both forms are the same mailbox (§4.1.2).
    """
    head, colon, rest = argument.partition(":")
    if head.strip().upper() != keyword or not colon:
        raise Refusal(501, "5.5.4", f"Syntax: {'MAIL' if keyword == 'FROM' else 'RCPT'} {keyword}:<address>")
    found = _PATH.fullmatch(rest)
    mailbox = None if found is None else _mailbox(found, keyword)
    if found is None or mailbox is None or len(mailbox.encode()) > _MAILBOX_OCTETS:
        # RFC 3463 §3.2: X.1.7 is the sender's mailbox syntax, X.1.3 the recipient's.
        raise Refusal(501, "5.1.7" if keyword == "FROM" else "5.1.3", "Bad mailbox address syntax")
    return mailbox, _parameters(found["parameters"] or "")


def _mailbox(found: re.Match[str], keyword: Literal["FROM", "TO"]) -> str | None:
    """None: an address literal without an address, or what only the other keyword may have."""
    if found["local"]:
        good = _is_literal_good(found["domain"])
        return f"{_shortest(found['local'])}@{found['domain']}" if good else None
    # §4.1.1.2: the null path is a sender; §4.1.1.3: "postmaster" alone is a recipient.
    if found["postmaster"]:
        return found["postmaster"] if keyword == "TO" else None
    return "" if keyword == "FROM" else None


def _shortest(local: str) -> str:
    """A quoted local part without its quotes where it may stand without them."""
    if not local.startswith('"'):
        return local
    content = _QUOTED_PAIR.sub(r"\1", local[1:-1])
    return content if _DOT_ATOM.fullmatch(content) else local


def _is_literal_good(domain: str) -> bool:
    """Whether ``domain`` is no address literal, or one that holds an address (§4.1.3)."""
    if not domain.startswith("["):
        return True
    literal = domain[1:-1]
    try:
        if literal[:5].upper() == "IPV6:":
            IPv6Address(literal[5:])
        else:
            IPv4Address(literal)
    except ValueError:
        return False
    return True


def _parameters(text: str) -> dict[str, str | None]:
    """ESMTP parameters by upper-case keyword; None: one without a value (§4.1.2)."""
    parameters: dict[str, str | None] = {}
    for word in text.split():
        found = _PARAMETER.fullmatch(word)
        if found is None or found[1].upper() in parameters:
            raise Refusal(501, "5.5.4", "Bad or repeated parameter")
        parameters[found[1].upper()] = found[2]
    return parameters


def refuse_parameters(parameters: dict[str, str | None]) -> None:
    """§4.1.1.11: parameters of no offered extension, such as RET, ENVID, NOTIFY, ORCPT (DSN, RFC 3461)."""
    if parameters:
        raise Refusal(555, "5.5.4", f"Unsupported parameter {next(iter(parameters))[:40]}")


def size_parameter(parameters: dict[str, str | None]) -> int | None:
    """Take SIZE out of ``parameters`` (RFC 1870 §4)."""
    if "SIZE" not in parameters:
        return None
    value = parameters.pop("SIZE")
    if value is None or not _SIZE.fullmatch(value):
        raise Refusal(501, "5.5.4", "Syntax: SIZE=octets")
    return int(value)


def body_parameter(parameters: dict[str, str | None]) -> Body:
    """Take BODY out of ``parameters`` (RFC 6152 §2, RFC 3030 §3)."""
    match (parameters.pop("BODY", "7BIT") or "").upper():
        case "7BIT":
            return "7BIT"
        case "8BITMIME":
            return "8BITMIME"
        case "BINARYMIME":
            return "BINARYMIME"
        case _:
            raise Refusal(501, "5.5.4", "BODY is 7BIT, 8BITMIME or BINARYMIME")


def utf8_parameter(parameters: dict[str, str | None]) -> bool:
    """Take SMTPUTF8 out of ``parameters`` (RFC 6531 §3.4)."""
    if "SMTPUTF8" not in parameters:
        return False
    if parameters.pop("SMTPUTF8") is not None:
        raise Refusal(501, "5.5.4", "SMTPUTF8 takes no value")
    return True


def refuse_utf8(mailbox: str) -> None:
    """RFC 6531 §3.5: an internationalized address in a transaction without SMTPUTF8."""
    if not mailbox.isascii():
        raise Refusal(553, "5.6.7", "Address needs SMTPUTF8")


def chunk(argument: str) -> tuple[int, bool] | None:
    """Octets of a BDAT chunk, and whether it is the last (RFC 3030 §2). None: not to be understood."""
    found = _CHUNK.fullmatch(argument)
    return (int(found[1]), found[2] is not None) if found else None
