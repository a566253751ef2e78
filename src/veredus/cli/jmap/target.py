"""Which server a command speaks to, as whom: the options that all of `veredus jmap` have."""

import functools
import inspect
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from veredus.cli.common import EXIT_USAGE, Failure

if TYPE_CHECKING:
    from veredus.client import Client

TOKEN, PASSWORD = "VEREDUS_JMAP_TOKEN", "VEREDUS_JMAP_PASSWORD"
# What the shell gives for Ctrl-C.
EXIT_INTERRUPTED = 130

Work = Callable[["Client"], Awaitable[None]]


@dataclass(frozen=True)
class Target:
    """The options as they were given."""

    server: str | None
    token_file: Path | None
    user: str | None
    password_file: Path | None
    account: str | None
    ca: Path | None

    def run(self, work: Work) -> None:
        """Connect, and do ``work``. Raises Failure with all that a person needs to know."""
        import asyncio

        from veredus.client import JMAPError, SearchError

        try:
            asyncio.run(self._run(work))
        except SearchError as error:
            raise Failure(str(error), EXIT_USAGE) from error
        except JMAPError as error:
            raise Failure(str(error)) from error
        except BrokenPipeError:
            # Whoever read this has enough; nothing more may be written at the end either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        except KeyboardInterrupt:
            raise typer.Exit(EXIT_INTERRUPTED) from None

    async def _run(self, work: Work) -> None:
        from veredus.client import Client

        if self.server is None:
            raise Failure(
                "which server? --server or VEREDUS_JMAP_SERVER: an address, a domain or a URL", EXIT_USAGE
            )
        try:
            opening = Client.connect(self.server, tls_ca=self.ca, **self._credentials())
        except ValueError as error:
            raise Failure(str(error), EXIT_USAGE) from error
        async with opening as client:
            if self.account is not None and self.account not in client.session.accounts:
                known = ", ".join(f"{id} ({each.name})" for id, each in client.session.accounts.items())
                raise Failure(
                    f"{client.host} has no account {self.account!r}; there are: {known}", EXIT_USAGE
                )
            await work(client)

    def _credentials(self) -> dict[str, Any]:
        if self.user is not None:
            password = os.environ.get(PASSWORD)
            if self.password_file is not None:
                password = self.password_file.read_text().rstrip("\r\n")
            if password is None:
                raise Failure(
                    f"the password of {self.user}? --password-file or the variable {PASSWORD}", EXIT_USAGE
                )
            return {"basic": (self.user, password)}
        if self.token_file is not None:
            return {"token_file": self.token_file}
        if TOKEN in os.environ:
            return {"token": os.environ[TOKEN]}
        raise Failure(f"as whom? --token-file, --user, or the variable {TOKEN}", EXIT_USAGE)


_OPTIONS: dict[str, Any] = {
    "server": Annotated[
        str | None,
        typer.Option(
            "--server", "-s", envvar="VEREDUS_JMAP_SERVER", help="An address, a domain, or the session's URL."
        ),
    ],
    "token_file": Annotated[
        Path | None,
        typer.Option("--token-file", help=f"A file with a bearer token. Else: ${TOKEN}."),
    ],
    "user": Annotated[
        str | None,
        typer.Option("--user", "-u", envvar="VEREDUS_JMAP_USER", help="A name, to log in with a password."),
    ],
    "password_file": Annotated[
        Path | None,
        typer.Option("--password-file", help=f"A file with the password. Else: ${PASSWORD}."),
    ],
    "account": Annotated[
        str | None, typer.Option("--account", "-a", help="The id of the account. Else: the primary one.")
    ],
    "ca": Annotated[Path | None, typer.Option("--ca", help="Certificates to trust, in PEM, and no others.")],
}


def connected(function: Callable[..., None]) -> Callable[..., None]:
    """A command with the options of a Target, which becomes its first argument."""
    own = inspect.signature(function, eval_str=True)
    _, *rest = own.parameters.values()

    @functools.wraps(function)
    def command(**given: Any) -> None:
        target = Target(**{name: given.pop(name) for name in _OPTIONS})
        function(target, **given)

    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in _OPTIONS.items()
    ]
    parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in rest]
    command.__dict__["__signature__"] = own.replace(parameters=[*parameters, *options])
    command.__annotations__ = {each.name: each.annotation for each in [*parameters, *options]}
    return command
