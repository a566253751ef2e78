"""The octets of one message while they arrive by DATA or BDAT (RFC 5321 §4.1.1.4, §4.5.2; RFC 3030 §2).

Everything here works on whole reads with the C searches of bytearray, and looks at no octet twice
save for the four that may be the beginning of the end.
"""

from veredus.formats.smtp_values import Budget, Reply

# Only this ends DATA. A dot between bare LFs or CRs is text, kept as it is: to take it for the end is
# what SMTP smuggling lives on (§2.3.8, §4.1.1.4).
END = b"\r\n.\r\n"

TOO_BIG = Reply(552, "5.3.4", "Message is bigger than the limit")
NO_STORAGE = Reply(452, "4.3.1", "Too much mail at the moment, try again later")


class Text:
    """A message's octets, charged to a budget.

    Once it is beyond a limit ``refusal`` says so, nothing is held any more, and the rest is read over.
    """

    def __init__(self, limit: int, in_flight: Budget) -> None:
        # The CRLF of the DATA line counts as the one before the first line (§4.1.1.4): with it, a
        # first line that begins with a dot needs no case of its own. BDAT drops it again.
        self._octets = bytearray(b"\r\n")
        self._dots = 0
        self._limit = limit
        self._in_flight = in_flight
        self._charged = 0
        self.refusal: Reply | None = None

    def append_stuffed(self, data: bytes | bytearray) -> bytes | None:
        """Add what DATA brought; once the end has come, what follows it, else None."""
        known = len(self._octets)
        self._octets += data
        end = self._octets.find(END, max(0, known - 4))
        rest = None
        if end >= 0:
            rest = bytes(self._octets[end + 5 :])
            del self._octets[end + 2 :]
        self._dots += self._octets.count(b"\r\n.", max(0, known - 2))
        if rest is not None:
            self._unstuff()
        elif not self.refusal:
            # An unfinished text may end in a dot, or in CRLF, that is none of the message: 8 covers them.
            self._check(len(self._octets) - self._dots - 8)
        if self.refusal:
            del self._octets[: -4 if rest is None else None]
        return rest

    def _unstuff(self) -> None:
        """Take off the dot that begins a line (§4.5.2), and the CRLF of the DATA line."""
        if self._dots:
            self._octets = self._octets.replace(b"\r\n.", b"\r\n")
        del self._octets[:2]
        if not self.refusal:
            self._check(len(self._octets))

    def begin_chunks(self) -> None:
        del self._octets[:]

    def append(self, data: bytes | bytearray) -> None:
        """Add what BDAT brought, as it is."""
        if self.refusal:
            return
        self._octets += data
        self._check(len(self._octets))
        if self.refusal:
            self._octets.clear()

    def take(self) -> bytearray:
        """The message; its octets stay charged until ``release``."""
        octets, self._octets = self._octets, bytearray()
        return octets

    def release(self) -> None:
        self._in_flight.give_back(self._charged)
        self._charged = 0

    def _check(self, size: int) -> None:
        """Refuse a message of ``size`` octets at least, or charge what came since the last time."""
        new = max(0, len(self._octets) - self._charged)
        if size > self._limit:
            self.refusal = TOO_BIG
        elif not self._in_flight.take(new):
            self.refusal = NO_STORAGE
        else:
            self._charged += new
            return
        self.release()
