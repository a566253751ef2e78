"""What passes the proxies, step by step: the moments at which a test may kill what stands behind them."""

import re
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

# ``arrived``: the proxy has it, and nobody else; ``forwarded``: it is sent on; ``answered``: the proxy has the
# answer, and whoever asked has not.
Stage = Literal["arrived", "forwarded", "answered"]


class Step(Struct, frozen=True):
    """``what``: a JMAP method, else the path of the URL; on the side of NATS the subject published to."""

    side: Literal["jmap", "nats"]
    what: str
    stage: Stage

    @property
    def kind(self) -> str:
        """``what`` as a pattern (fnmatch) without the names that differ from run to run."""
        for pattern, kind in _KINDS:
            if found := pattern.match(self.what):
                return found.expand(kind)
        return self.what


_KINDS = [
    (re.compile(r"(/jmap/(?:download|upload)/).*"), r"\1*"),
    (re.compile(r"(\$O\.[^.]+\.[CM]\.).*"), r"\1*"),
    (re.compile(r"(\$KV\.[^.]+\.[a-z]+\.).*"), r"\1*"),
    (re.compile(r"(\$KV\.[^.]+\.).*"), r"\1*"),
    (re.compile(r"(\$JS\.API\.[A-Z]+\.(?:[A-Z]+\.)*[A-Z]+).*"), r"\1*"),
    (re.compile(r"(_INBOX\.).*"), r"\1*"),
    (re.compile(r"(jmap\.hb\.).*"), r"\1*"),
]

# True: who sent it is dead now, so not one octet of it goes further.
Observer = Callable[[Step], bool]
