"""`veredus bridge`: from any JMAP server into NATS JetStream. Each command is one file here."""

import typer

from veredus.cli.bridge import ask, check, dlq, migrate, run, schema, status

app = typer.Typer(help="Publish mail and its changes into NATS JetStream.", no_args_is_help=True)

# In the order of a life with a bridge; each in one line of a terminal with 80 columns.
app.command("run", short_help="Run the bridges of a file until told to stop.")(run.run)
app.command("check", short_help="Say whether a bridge could run; change nothing.")(check.check)
app.command("status", short_help="Say who reads what, how far, and what is wrong.")(status.status)
app.command("migrate", short_help="Come from jmap2nats: from where would it go on?")(migrate.migrate)
app.command("snapshot", short_help="Publish what is missing since a date, or all of it.")(ask.snapshot)
app.command("replay", short_help="Set the cursor back, and go through it once more.")(ask.replay)
app.command("pause", short_help="Let nobody read an account.")(ask.pause)
app.command("resume", short_help="Let a paused account be read again.")(ask.resume)
app.add_typer(dlq.app, name="dlq")
app.add_typer(schema.app, name="schema")
