"""SMTP, LMTP and submission as a state machine: octets in, events and replies out (RFC 5321, 2033, 6409).

It does no I/O and reads no clock. Two rules:

1. ``receive`` what the socket gave, then take ``next_event`` until it gives None, then send ``output``.
   How the octets were cut into reads makes no difference.
2. After an event that asks something nothing more happens until the answer is given; what the
   client sends meanwhile (pipelining, RFC 2920) waits. Do not read on for ever in that time.

Extensions: PIPELINING, SIZE (RFC 1870), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531), ENHANCEDSTATUSCODES
(RFC 2034), CHUNKING and BINARYMIME (RFC 3030), STARTTLS (RFC 3207). For users who submit, without
BINARYMIME: AUTH (RFC 4954), DSN (RFC 3461), FUTURERELEASE (RFC 4865).

Lines: commands end in CRLF alone, and one with another CR or LF in it is refused whole. In a message
bare CR and LF are kept as they came; they never end anything.
"""

from collections.abc import Sequence

from veredus.formats.smtp_dialogue import Dialogue
from veredus.formats.smtp_terms import Chunk, Terms, Transaction
from veredus.formats.smtp_values import (
    Body,
    Budget,
    Closed,
    Envelope,
    Event,
    Limits,
    Login,
    LoginOffered,
    MessageReceived,
    Parameters,
    Protocol,
    Reason,
    RecipientOffered,
    Release,
    Reply,
    Role,
    SenderOffered,
    TlsRequested,
    Wishes,
    submission_trace,
    trace_headers,
)

__all__ = [
    "Body",
    "Budget",
    "Closed",
    "Envelope",
    "Event",
    "Limits",
    "Login",
    "LoginOffered",
    "MessageReceived",
    "Parameters",
    "Protocol",
    "Reason",
    "RecipientOffered",
    "Release",
    "Reply",
    "Role",
    "SenderOffered",
    "Session",
    "Terms",
    "TlsRequested",
    "Wishes",
    "submission_trace",
    "trace_headers",
]


class Session:
    """One connection, the server's side of it. The greeting is the first output."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._dialogue = Dialogue(terms)
        # The event that waits for its answer.
        self._asked: Event | None = None
        self._input = bytearray()
        # So many octets of the input hold no end of line.
        self._scanned = 0
        self._is_overlong = False
        self._is_stopping = False
        self._is_closed = False

    @property
    def in_transaction(self) -> bool:
        return self._dialogue.transaction is not None

    @property
    def is_receiving_text(self) -> bool:
        """Whether the next octets belong to a message, so that each is progress."""
        return self._dialogue.in_text or self._dialogue.chunk is not None

    @property
    def octets_waiting(self) -> int:
        """How much was received and not looked at yet."""
        return len(self._input)

    def receive(self, data: bytes) -> None:
        if not self._is_closed:
            self._input += data

    def output(self) -> bytes:
        """What is to be sent, once."""
        output = b"".join(self._dialogue.replies)
        self._dialogue.replies.clear()
        return output

    def next_event(self) -> Event | None:
        """The next event. None: more octets, or the answer to the last event, must come first.

        After ``Closed`` there are no more.
        """
        while self._asked is None and not self._is_closed:
            if self._is_stopping and not self.in_transaction:
                return self.close("shutdown", Reply(421, "4.3.2", f"{self._terms.hostname} is shutting down"))
            if self._dialogue.failed_logins >= self._terms.limits.failed_logins:
                reply = Reply(421, "4.7.0", f"{self._terms.hostname} Too many failed logins, closing")
                return self.close("limit", reply)
            chunk = self._dialogue.chunk
            if not self._input and not (chunk and not chunk.left):
                return None
            if self._dialogue.in_text:
                event = self._receive_text()
            elif chunk:
                event = self._receive_chunk(chunk)
            elif (line := self._next_line()) is None:
                return None
            else:
                event = self._dialogue.command(line)
            if event:
                return self._tell(event)
        return None

    def _tell(self, event: Event) -> Event:
        if isinstance(event, Closed):
            return self.close(event.reason)
        if isinstance(event, TlsRequested):
            self.discard_received()
        self._asked = event
        return event

    def answer_recipient(self, refusal: Reply | None) -> None:
        """Answer ``RecipientOffered``; None: accepted. ValueError: not a 4xx or 5xx reply."""
        transaction = self._dialogue.transaction
        assert isinstance(self._asked, RecipientOffered)
        assert transaction
        if refusal and not refusal.is_refusal:
            raise ValueError(f"{refusal.code} refuses nobody")
        if refusal is None:
            transaction.recipients.append(self._asked.address)
            if self._dialogue.login:
                transaction.of_recipients += (transaction.of_offered or {},)
        self._asked = None
        self._dialogue.reply(refusal or Reply(250, "2.1.5", "Recipient OK"))

    def answer_login(self, answer: Login | Reply) -> None:
        """Answer ``LoginOffered``: who it is, or why not. ValueError: not a 4xx or 5xx reply."""
        assert isinstance(self._asked, LoginOffered)
        if isinstance(answer, Login):
            self._dialogue.login = answer
            self._dialogue.reply(Reply(235, "2.7.0", "Authentication successful"))
        elif answer.is_refusal:
            self._dialogue.failed_logins += 1
            self._dialogue.reply(answer)
        else:
            raise ValueError(f"{answer.code} refuses nobody")
        self._asked = None

    def answer_sender(self, refusal: Reply | None) -> None:
        """Answer ``SenderOffered``; None: accepted. ValueError: not a 4xx or 5xx reply."""
        assert isinstance(self._asked, SenderOffered)
        if refusal and not refusal.is_refusal:
            raise ValueError(f"{refusal.code} refuses nobody")
        self._asked = None
        if refusal:
            self._dialogue.reset()
            self._dialogue.reply(refusal)
        else:
            self._dialogue.sender_taken()

    def answer_message(self, replies: Sequence[Reply]) -> None:
        """Answer ``MessageReceived``. ValueError: not one reply per recipient, or not a final one."""
        assert isinstance(self._asked, MessageReceived)
        if len(replies) != len(self._asked.envelope.recipients):
            raise ValueError("one reply per recipient")
        if not all(reply.is_final for reply in replies):
            raise ValueError("a message is taken or refused")
        self._asked = None
        self._dialogue.mail_taken()
        self._finish(replies)

    def discard_received(self) -> None:
        """Drop what waits, when the TLS layer takes over the socket.

        What came in the clear behind STARTTLS must not be taken for what TLS brings (RFC 3207 §4.2).
        """
        self._input.clear()
        self._scanned = 0
        self._is_overlong = False

    def tls_started(self) -> None:
        """Answer ``TlsRequested``. What was received since ``discard_received`` came through TLS."""
        assert isinstance(self._asked, TlsRequested)
        self._asked = None
        self._dialogue.tls_started()

    def shut_down(self) -> None:
        """Take no further transaction: 421 once the present one is over (§3.8)."""
        self._is_stopping = True

    def close(self, reason: Reason, reply: Reply | None = None) -> Closed:
        """End the session, with a last reply if any. Gives back what a broken-off message held."""
        if reply:
            self._dialogue.reply(reply)
        self._dialogue.reset()
        self.discard_received()
        self._asked = None
        self._is_closed = True
        return Closed(reason)

    def _next_line(self) -> bytes | None:
        """The next command without its CRLF; of one that is too long, enough to see that it is."""
        limit = self._terms.limits.command_line
        end = self._input.find(b"\r\n", self._scanned)
        if end < 0:
            if len(self._input) > limit + 1:
                self._is_overlong = True
                del self._input[:-1]
            self._scanned = max(0, len(self._input) - 1)
            return None
        line = bytes(limit + 1) if self._is_overlong else bytes(self._input[:end])
        del self._input[: end + 2]
        self._scanned = 0
        self._is_overlong = False
        return line

    def _receive_text(self) -> Event | None:
        transaction = self._dialogue.transaction
        assert transaction
        data, self._input = self._input, bytearray()
        rest = transaction.text.append_stuffed(data)
        if rest is None:
            return None
        self._input += rest
        self._dialogue.in_text = False
        return self._message_received(transaction)

    def _receive_chunk(self, chunk: Chunk) -> Event | None:
        transaction = self._dialogue.transaction
        size = min(chunk.left, len(self._input))
        chunk.left -= size
        if transaction and not chunk.refusal:
            transaction.text.append(self._input[:size])
        del self._input[:size]
        if chunk.left:
            return None
        self._dialogue.chunk = None
        if chunk.refusal:
            self._dialogue.reply(chunk.refusal)
            return None
        assert transaction
        if chunk.is_last:
            return self._message_received(transaction)
        if transaction.text.refusal:
            # The transaction is lost; BDATs already on their way are answered 503 (RFC 3030 §2).
            self._dialogue.reply(transaction.text.refusal)
            self._dialogue.reset()
        else:
            self._dialogue.reply(Reply(250, "2.0.0", f"{chunk.size} octets received"))
        return None

    def _message_received(self, transaction: Transaction) -> Event | None:
        if transaction.text.refusal:
            self._finish([transaction.text.refusal] * len(transaction.recipients))
            return None
        return MessageReceived(self._dialogue.envelope(transaction), transaction.text.take())

    def _finish(self, replies: Sequence[Reply]) -> None:
        """Send what has become of a message, and end its transaction.

        LMTP has a reply for every recipient (RFC 2033 §4.2). SMTP has one: the message was taken as soon
        as one recipient has it; what becomes of the others is the server's business from then on (§6.1).
        """
        if self._terms.role != "lmtp":
            replies = [next((reply for reply in replies if reply.is_success), replies[0])]
        for reply in replies:
            self._dialogue.reply(reply)
        self._dialogue.reset()
