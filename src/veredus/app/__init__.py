"""The one place that names implementations: from settings to everything but sockets (``serving``)."""

from veredus.app.building import App, open_app
from veredus.app.clock import SystemClock
from veredus.app.opening import open_blobs, open_bus, open_store, store_back, store_status
from veredus.app.registry import build_registry
from veredus.auth.accounts import AccountError
from veredus.blob.copying import Copied, copy_blobs, is_intact
from veredus.blob.names import id_of as id_of_blob
from veredus.store.dump_files import DumpFiles
from veredus.store.sqlite_restore import rename_accounts
from veredus.store.status import StoreStatus

# Besides the app: what commands need of the implementations beside their ports.
__all__ = [
    "AccountError",
    "App",
    "Copied",
    "DumpFiles",
    "StoreStatus",
    "SystemClock",
    "build_registry",
    "copy_blobs",
    "id_of_blob",
    "is_intact",
    "open_app",
    "open_blobs",
    "open_bus",
    "open_store",
    "rename_accounts",
    "store_back",
    "store_status",
]
