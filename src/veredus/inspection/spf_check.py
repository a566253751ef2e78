"""SPF (RFC 7208) by pyspf, which asks DNS through our resolver.

pyspf asks while it evaluates, and would block. So it is run with what is known; when it asks for more it is
stopped, the question is put, and it begins again: a policy is evaluated in microseconds.
"""

from typing import Any

import spf

from veredus.resolver import LookupFailed, NoSuchName, Resolver

_Question = tuple[str, str]
# pyspf allows 10 terms that look up, with 10 hosts each; this is above all of it.
_ROUNDS = 150
# §3.4 asks for less than 512 octets in all. Some expressions of pyspf take the square of a term's length.
_LONGEST = 4096
_TERM = 400


class _Unknown(Exception):
    """pyspf wants to know what we do not know yet."""

    def __init__(self, question: _Question) -> None:
        super().__init__(question)
        self.question = question


class _Query(spf.query):  # type: ignore[misc]  # it has no types
    """One evaluation; an answer is a list, or why there is none."""

    answers: "dict[_Question, list[Any] | LookupFailed]"

    def dns(self, name: Any, qtype: str, cnames: Any = None, ignore_void: bool = False) -> list[Any]:
        """What pyspf calls for each question; empty answers are counted (§4.6.4)."""
        question = (str(name).rstrip(".").lower(), qtype)
        if question not in self.answers:
            raise _Unknown(question)
        answer = self.answers[question]
        if isinstance(answer, LookupFailed):
            raise spf.TempError(str(answer))
        if not answer and not ignore_void:
            self.void_lookups += 1
            if self.void_lookups > spf.MAX_VOID_LOOKUPS:
                raise spf.PermError(f"more than {spf.MAX_VOID_LOOKUPS} questions without an answer")
        return answer


async def check(resolver: Resolver, client: str, sender: str, helo: str) -> str:
    """The result for a client's address (§2.6): none, neutral, pass, fail, softfail, temperror, permerror.

    ``sender`` is empty for the null reverse-path: then it is about ``helo``.
    """
    answers: dict[_Question, list[Any] | LookupFailed] = {}
    local, _, domain = sender.rpartition("@")
    for _ in range(_ROUNDS):
        try:
            # pyspf splits at the first "@", which may be in a quoted local part.
            query = _Query(i=client, s=f"{local.replace('@', '.')}@{domain}" if sender else "", h=helo)
            query.answers = answers
            result: str = query.check()[0]
        except _Unknown as unknown:
            answers[unknown.question] = await _answer(resolver, client, *unknown.question)
        except (ValueError, UnicodeError, spf.PermError):  # what pyspf did not expect of names and addresses
            return "permerror"
        else:
            return result
    return "permerror"


async def _answer(resolver: Resolver, client: str, name: str, qtype: str) -> "list[Any] | LookupFailed":
    """In the form that pyspf wants."""
    try:
        match qtype:
            case "TXT":
                return [[text] for text in await resolver.txt(name) if _is_bearable(text)]
            case "MX":
                return [(mx.preference, mx.host) for mx in await resolver.mx(name) if mx.host != "."]
            case "PTR":  # of the client: pyspf asks for no other
                return list(await resolver.ptr(client))
            case _:
                found = await resolver.addresses(name)
                return [one for one in found if (":" in one) == (qtype == "AAAA")]
    except NoSuchName:
        return []
    except LookupFailed as error:
        return error


def _is_bearable(text: bytes) -> bool:
    return len(text) <= _LONGEST and all(len(term) <= _TERM for term in text.split())
