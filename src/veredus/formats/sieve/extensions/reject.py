"""reject and ereject (RFC 5429)."""

from collections.abc import Callable

from veredus.formats.sieve.outcome import Reject
from veredus.formats.sieve.signature import Arguments, Extension, Kind, Spec
from veredus.formats.sieve.state import Command, Run


def _rejecting(*, is_extended: bool) -> Callable[[Arguments], Command]:
    def build(args: Arguments) -> Command:
        reason = args.texts(0)

        def reject(run: Run) -> None:
            run.act(Reject(reason.one(run), is_extended))
            run.keeps = False

        return reject

    return build


REJECT = Extension(("reject",), commands=(Spec("reject", _rejecting(is_extended=False), (Kind.STRING,)),))
EREJECT = Extension(("ereject",), commands=(Spec("ereject", _rejecting(is_extended=True), (Kind.STRING,)),))
