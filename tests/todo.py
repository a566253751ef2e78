"""The Todo data type of examples/veredus_todo, and a server that has it: for what mail does not exercise."""

import importlib.util
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from jmap import Jmap, open_server
from veredus.app import App
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


def todo_server(
    store: str, directory: Path, *types: DataType, **sections: Any
) -> AbstractAsyncContextManager[App]:
    """A server with these data types (none: Todo) beside ours."""
    return open_server(store, directory, types=types or [TODOS], **sections)


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
