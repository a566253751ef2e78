"""The Todo data type of examples/veredus_todo, and a server that has it: for what mail does not exercise."""

import importlib.util
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jmap import Jmap, storage
from veredus.app import App, open_app
from veredus.config.settings import Blobs, Config, Limits, Quota
from veredus.schema import DataType

EXAMPLE = Path(__file__).parent.parent / "examples" / "veredus_todo"


def _load() -> Any:
    spec = importlib.util.spec_from_file_location("veredus_todo", EXAMPLE / "veredus_todo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


module = _load()
TODOS: DataType = module.TODOS
CAPABILITY: str = module.CAPABILITY


@asynccontextmanager
async def todo_server(
    store: str, directory: Path, *types: DataType, quota: Quota | None = None, **limits: Any
) -> AsyncIterator[App]:
    """A server with these data types (none: Todo) beside ours."""
    kind = "".join(f"{type.name}{zlib.crc32(repr(type.table).encode())}" for type in types or [TODOS]).lower()
    async with storage(store, directory, kind) as records:
        config = Config(
            hostname="mail.example.com",
            data_dir=directory,
            storage=records,
            blobs=Blobs(url="memory"),
            limits=Limits(**limits),
            quota=quota or Quota(),
        )
        async with open_app(config, types=types or [TODOS]) as app:
            yield app


async def todo_user(app: App, address: str = "alice@example.com") -> Jmap:
    """A user whose requests use the Todo capability, too."""
    user = Jmap(app, address, await app.add_account(address, None))
    user.using.append(CAPABILITY)
    return user


async def create(user: Jmap, *titles: str, **properties: Any) -> list[str]:
    """Ids of new Todos."""
    wanted = {f"t{n}": {"title": title, **properties} for n, title in enumerate(titles)}
    response = await user.call("Todo/set", create=wanted)
    assert response["notCreated"] is None, response
    return [response["created"][key]["id"] for key in wanted]
