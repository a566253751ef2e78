"""`veredus domain`: the domains that this server signs mail for."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from veredus.cli.common import Failure, Json, write_json
from veredus.cli.opened import confirm, with_app

if TYPE_CHECKING:
    from veredus.app import App
    from veredus.domains.domains import Domain, Domains

T = TypeVar("T")

app = typer.Typer(help="The domains that this server signs mail for, and their keys.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The domain, such as example.com.", metavar="DOMAIN")]


def with_domains(ctx: typer.Context, work: Callable[["Domains"], Awaitable[T]], *, create: bool = False) -> T:
    """What ``work`` gives. ``create``: see ``with_app``."""
    from veredus.domains.names import DomainError

    async def opened(app: "App") -> T:
        try:
            return await work(app.domains)
        except DomainError as error:
            raise Failure(str(error)) from error

    return with_app(ctx, opened, create=create)


@app.command()
def add(ctx: typer.Context, name: Name, as_json: Json = False) -> None:
    """Sign mail from a domain with DKIM from now on. Two keys are made, one for RSA and one for Ed25519."""
    domain = with_domains(ctx, lambda domains: domains.add(name), create=True)
    if as_json:
        _write(domain)
        return
    typer.echo(f"added {domain.name}; mail is signed with {_selectors(domain)}")
    _publish(domain)


def _publish(domain: "Domain") -> None:
    typer.echo(
        f"Publish what `veredus dns records {domain.name}` shows; `veredus dns check {domain.name}` looks "
        "whether it is there.",
        err=True,
    )


def _selectors(domain: "Domain") -> str:
    return " and ".join(key.selector for key in domain.with_status("signing"))


def _write(domain: "Domain") -> None:
    import msgspec

    write_json(msgspec.to_builtins(domain))


@app.command("ls")
def list_(ctx: typer.Context, as_json: Json = False) -> None:
    """List the domains."""
    import msgspec

    from veredus.domains.names import u_labels

    found = with_domains(ctx, lambda domains: domains.all())
    if as_json:
        write_json(msgspec.to_builtins(found))
        return
    for domain in found:
        shown = u_labels(domain.name)
        also = "" if shown == domain.name else f"  ({shown})"
        waiting = "  new keys wait" if domain.with_status("waiting") else ""
        typer.echo(f"{domain.name}{also}  signs with {_selectors(domain)}{waiting}")


@app.command()
def show(ctx: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show a domain and its keys. Private keys are never shown."""
    domain = with_domains(ctx, lambda domains: domains.get(name))
    if as_json:
        _write(domain)
        return
    typer.echo(f"{domain.name}, added {domain.at}")
    for key in domain.keys:
        typer.echo(f"  {key.selector}  {key.algorithm}  {key.status} since {key.since}")


@app.command()
def rm(
    ctx: typer.Context,
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Sign no more for a domain. Its keys are gone; its accounts and addresses stay."""
    domain = with_domains(ctx, lambda domains: domains.get(name))
    confirm(f"Forget the keys of {domain.name}?", yes)
    with_domains(ctx, lambda domains: domains.remove(name))
    typer.echo(f"mail from {domain.name} is not signed any more")


@app.command()
def rotate(
    ctx: typer.Context,
    name: Name,
    now: Annotated[bool, typer.Option("--now", help="Do not look whether DNS has the new keys.")] = False,
    as_json: Json = False,
) -> None:
    """Change the keys, in two steps: make new ones; and, once they are in DNS, sign with them.

    Run it, publish the records, and run it again. The old keys go on signing until then, and must stay in DNS
    for a week after it.
    """
    before = with_domains(ctx, lambda domains: domains.get(name))
    if before.with_status("waiting"):
        if not now:
            _must_be_published(ctx, before)
        domain = with_domains(ctx, lambda domains: domains.use_waiting(name))
        told = f"mail from {domain.name} is signed with {_selectors(domain)} from now on"
    else:
        domain = with_domains(ctx, lambda domains: domains.rotate(name))
        made = " and ".join(key.selector for key in domain.with_status("waiting"))
        told = f"new keys of {domain.name}, not used yet: {made}"
    if as_json:
        _write(domain)
        return
    typer.echo(told)
    if domain.with_status("waiting"):
        typer.echo(
            f"Publish what `veredus dns records {domain.name}` shows; run again, this signs with them.",
            err=True,
        )


def _must_be_published(ctx: typer.Context, domain: "Domain") -> None:
    import asyncio

    from veredus.cli.common import invocation
    from veredus.domains.check import published
    from veredus.resolver import LookupFailed, Resolver

    resolver = Resolver(invocation(ctx).load().config.dns.servers)
    try:
        found = asyncio.run(published(resolver, domain))
    except LookupFailed as error:
        raise Failure(f"{error} - try again, or add --now") from error
    missing = [key.selector for key in domain.with_status("waiting") if key not in found]
    if missing:
        raise Failure(
            f"DNS does not have {' and '.join(missing)} of {domain.name} yet - publish what "
            f"`veredus dns records {domain.name}` shows and wait, or add --now"
        )
