"""Going back to an older program, by its own declarations (`veredus db migrate --back`)."""

from collections.abc import Sequence

from veredus.ports import Table
from veredus.store.postgres.database import connect
from veredus.store.postgres.migrate import migrate
from veredus.store.postgres.schema import Layout
from veredus.store.postgres.store import Servers


async def go_back(servers: Servers, tables: Sequence[Table]) -> None:
    """Raises Refused when the older program cannot read the database, whatever its declarations."""
    connection = await connect(servers.url, servers.schema)
    try:
        await migrate(connection, servers.schema, [Layout(table) for table in tables], back=True)
    finally:
        await connection.close()
