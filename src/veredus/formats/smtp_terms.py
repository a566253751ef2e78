"""What an SMTP session is held on, and what it is in the midst of."""

from dataclasses import dataclass, field

from veredus.formats.smtp_text import Text
from veredus.formats.smtp_values import Body, Budget, Limits, Parameters, Release, Reply, Role


@dataclass(slots=True)
class Transaction:
    """From MAIL to the end of the message (§3.3)."""

    sender: str
    size: int | None
    body: Body
    smtputf8: bool
    text: Text
    recipients: list[str] = field(default_factory=list)
    offered: int = 0
    # Of submission: those of MAIL, of the recipient that is offered, and of those accepted.
    parameters: Parameters | None = None
    of_offered: Parameters | None = None
    of_recipients: tuple[Parameters, ...] = ()
    has_chunks: bool = False


@dataclass(slots=True)
class Chunk:
    """A BDAT chunk that is arriving (RFC 3030 §2). ``refusal``: why it is read over."""

    size: int
    left: int
    is_last: bool
    refusal: Reply | None


@dataclass(frozen=True, slots=True)
class Terms:
    """What a session is held on: by whom, with whom, and what it may use.

    ``tls``: it is on from the first octet. Of submission: ``is_private``: nobody can listen, so that
    passwords may be told without TLS; ``release``: None: FUTURERELEASE is not offered.
    """

    role: Role
    hostname: str
    limits: Limits
    in_flight: Budget
    client: str = ""
    offers_tls: bool = False
    tls: bool = False
    is_private: bool = False
    release: Release | None = None
