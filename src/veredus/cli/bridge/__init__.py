"""`veredus bridge`: from any JMAP server into NATS JetStream. Each command is one file here."""

import typer

from veredus.cli.bridge import ask, check, dlq, migrate, run, schema, status

app = typer.Typer(help="Publish mail and its changes into NATS JetStream.", no_args_is_help=True)

# In the order of a life with a bridge.
app.command("run")(run.run)
app.command("check")(check.check)
app.command("status")(status.status)
app.command("migrate")(migrate.migrate)
app.command("snapshot")(ask.snapshot)
app.command("replay")(ask.replay)
app.command("pause")(ask.pause)
app.command("resume")(ask.resume)
app.add_typer(dlq.app, name="dlq")
app.add_typer(schema.app, name="schema")
