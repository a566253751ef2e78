"""What a script asks while it runs, and where the answers are.

The interpreter cannot wait, so it is run with what is known; what it asked beyond that is looked up, and it
runs again. Mostly it asks nothing.
"""

from veredus.delivery import memory
from veredus.delivery.case import Case
from veredus.delivery.places import Places
from veredus.delivery.rules import RuleBook
from veredus.formats.sieve import Location, Script
from veredus.ports import Store


class Questions:
    """Of one message for one account; ``Environment`` of formats.sieve says what each of them means."""

    def __init__(self) -> None:
        self.scripts: dict[str, Script | None] = {}
        self.keys: dict[str, bool] = {}
        self.places: Places | None = None
        self._new_scripts: set[str] = set()
        self._new_keys: set[str] = set()
        self._asks_places = False

    # ------------------------------------------------------------ while it runs

    def include(self, name: str, location: Location) -> Script | None:
        """There are no global scripts."""
        if location == "global":
            return None
        if name not in self.scripts:
            self._new_scripts.add(name)
        return self.scripts.get(name)

    def is_duplicate(self, key: str) -> bool:
        if key not in self.keys:
            self._new_keys.add(key)
        return self.keys.get(key, False)

    def exists(self, path: str) -> bool:
        return self._known().exists(path)

    def exists_id(self, id: str) -> bool:
        return self._known().exists_id(id)

    def exists_special_use(self, use: str, path: str | None) -> bool:
        return self._known().exists_special_use(use, path)

    def _known(self) -> Places:
        self._asks_places = self.places is None
        return self.places or Places([])

    # ------------------------------------------------------------ afterwards

    @property
    def are_open(self) -> bool:
        return self._asks_places or bool(self._new_scripts or self._new_keys)

    @property
    def new_keys(self) -> frozenset[str]:
        """Those of which the script was told that they are new."""
        return frozenset(key for key, is_known in self.keys.items() if not is_known)

    async def look_up(self, store: Store, book: RuleBook, case: Case) -> None:
        """Answer what is open."""
        self.scripts.update(await book.named(case.account, self._new_scripts))
        if self._new_keys or self._asks_places:
            async with store.read(case.account) as snapshot:
                known = await memory.seen(snapshot, self._new_keys, case.now)
                self.keys.update({key: key in known for key in self._new_keys})
                if self._asks_places:
                    self.places = await Places.of(snapshot)
        self._new_scripts.clear()
        self._new_keys.clear()
        self._asks_places = False
