"""`veredus dns`: what DNS should say of a domain, and what it says."""

from typing import TYPE_CHECKING, Annotated

import typer

from veredus.cli.common import EXIT_PROBLEMS, EXIT_USAGE, Failure, Json, invocation, write_json
from veredus.cli.domain import Name, with_domains

if TYPE_CHECKING:
    from veredus.config import Config
    from veredus.domains.check import Finding
    from veredus.domains.records import Surroundings

app = typer.Typer(help="What DNS should say of a domain, and what it says.", no_args_is_help=True)


@app.command("records")
def records_(
    ctx: typer.Context,
    name: Name,
    plain: Annotated[
        bool, typer.Option("--plain", help="Name, type and value apart, for the forms of DNS providers.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the records to publish for a domain, as lines of a zone file."""
    import msgspec

    from veredus.domains.records import records, sts_policy

    around = _surroundings(ctx)
    domain = with_domains(ctx, lambda domains: domains.get(name))
    found = records(domain, around)
    where, policy = sts_policy(domain, around)
    if as_json:
        lines = [{**msgspec.to_builtins(one), "zoneLine": one.zone_line()} for one in found]
        write_json({"records": lines, "mtaSts": {"url": where, "policy": policy}})
        return
    for record in found:
        if plain:
            typer.echo(f"{record.name}  {record.type}\n{record.value}\n")
        else:
            use = "" if record.is_needed else " - as you like"
            typer.echo(f"; {record.why}{use}\n{record.zone_line()}")
    for key in domain.with_status("retired"):
        name_of_key = f"{key.selector}._domainkey.{domain.name}"
        typer.echo(f"; Leave {name_of_key} until {key.leave_until:%Y-%m-%d}: what it signed is on its way.")
    told = "".join(f";   {line}\n" for line in policy.splitlines())
    typer.echo(f"; The policy of MTA-STS, at {where}:\n{told}", nl=False)


@app.command()
def check(
    ctx: typer.Context,
    name: Name,
    address: Annotated[
        list[str] | None,
        typer.Option("--address", help="An address that mail is sent from; else those of `hostname`."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask DNS for the records of a domain, and say what is right, missing or wrong.

    Exit code 3: something that is needed is missing or wrong.
    """
    import ipaddress

    import msgspec

    for one in address or ():
        try:
            ipaddress.ip_address(one)
        except ValueError as error:
            raise Failure(f"--address {one}: expected an IP address", EXIT_USAGE) from error
    findings = _look(ctx, name, tuple(address or ()), _surroundings(ctx))
    if as_json:
        write_json(msgspec.to_builtins(findings))
    else:
        for finding in findings:
            typer.echo(f"{finding.level:8} {finding.name}: {finding.text}")
    if any(finding.level == "problem" for finding in findings):
        raise typer.Exit(EXIT_PROBLEMS)


def _look(
    ctx: typer.Context, name: str, addresses: tuple[str, ...], around: "Surroundings"
) -> list["Finding"]:
    import asyncio

    from veredus.domains.check import Check
    from veredus.resolver import Resolver

    domain = with_domains(ctx, lambda domains: domains.get(name))
    look = Check(Resolver(invocation(ctx).load().config.dns.servers), domain, around)

    async def all_of() -> list["Finding"]:
        return await look.findings(addresses)

    return asyncio.run(all_of())


def _surroundings(ctx: typer.Context) -> "Surroundings":
    from veredus.domains.records import Surroundings

    config = invocation(ctx).load().config
    if "." not in config.hostname:
        raise Failure(
            f'hostname is "{config.hostname}": others cannot reach that - set hostname to the name that DNS '
            "has for this server, such as mail.example.com",
            EXIT_USAGE,
        )
    return Surroundings(
        config.hostname,
        config.http.public_url,
        _smart_host(config),
        _port(config.submission.listen),
        _port(config.submission.tls_listen),
    )


def _smart_host(config: "Config") -> str | None:
    from urllib.parse import urlsplit

    return urlsplit(config.outgoing.url).hostname if ":" in config.outgoing.url else None


def _port(listen: tuple[str, ...]) -> int | None:
    """Of the first address; behind a port that is forwarded, DNS must be told otherwise."""
    return int(listen[0].rpartition(":")[2]) if listen else None
