"""`veredus config`: check, show and explain the settings."""

import difflib
from typing import Annotated

import typer

from veredus.cli.common import EXIT_PROBLEMS, Failure, Json, invocation, write_json

app = typer.Typer(help="Check, show and explain the settings.", no_args_is_help=True)


@app.command()
def check(ctx: typer.Context, as_json: Json = False) -> None:
    """Read all settings, as `serve` would, and name every mistake with its line. Exit code 3: there are."""
    from veredus.config import ConfigError

    problems: list[str] = []
    path = None
    try:
        path = invocation(ctx).load().file
    except ConfigError as error:
        problems = error.problems
    if as_json:
        write_json({"file": path and str(path), "problems": problems})
    for problem in [] if as_json else problems:
        typer.echo(problem, err=True)
    if problems:
        raise typer.Exit(EXIT_PROBLEMS)
    if not as_json:
        typer.echo(f"{path}: good" if path else "no configuration file: the defaults hold")


@app.command()
def show(
    ctx: typer.Context,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from.")] = False,
    as_json: Json = False,
) -> None:
    """Show the settings in effect. What a reference to a file or a variable gave is not shown."""
    from veredus.config import kinds
    from veredus.config.fields import FIELDS, flat

    loaded = invocation(ctx).load()
    values = flat(loaded.config)
    if as_json:
        shown = {key: None if key in loaded.secrets else kinds.plain(value) for key, value in values.items()}
        write_json(
            {key: {"value": value, "origin": loaded.origins[key]} for key, value in shown.items()}
            if origin
            else shown
        )
        return
    for key, value in values.items():
        text = "(secret)" if key in loaded.secrets else kinds.write(FIELDS[key].kind, value)
        typer.echo(f"{key} = {text}" + (f"  # {loaded.origins[key]}" if origin else ""))


@app.command()
def explain(
    key: Annotated[str, typer.Argument(help="A setting such as smtp.max_size, or a section such as smtp.")],
    as_json: Json = False,
) -> None:
    """Say what a setting means, its type, default and environment variable."""
    from veredus.config import describe, kinds
    from veredus.config.fields import FIELDS, SECTIONS

    if key in FIELDS:
        field = FIELDS[key]
        if as_json:
            default = kinds.plain(field.default)
            write_json(
                {
                    "key": key,
                    "doc": field.setting.doc,
                    "type": kinds.name(field.kind),
                    "default": default,
                    "env": field.env,
                }
            )
        else:
            typer.echo(describe.explain(field))
    elif key in SECTIONS:
        typer.echo(describe.explain_section(key))
    else:
        nearest = difflib.get_close_matches(key, [*FIELDS, *SECTIONS], n=1)
        hint = f' - did you mean "{nearest[0]}"?' if nearest else "; `veredus config show` lists all"
        raise Failure(f"there is no setting {key}{hint}")


@app.command()
def schema() -> None:
    """Write a JSON Schema of the configuration file, for editors."""
    from veredus.config import describe

    write_json(describe.json_schema())


@app.command()
def example() -> None:
    """Write a configuration file in which every default stands as a comment."""
    from veredus.config import describe

    typer.echo(describe.example(), nl=False)
