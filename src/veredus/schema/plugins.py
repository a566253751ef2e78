"""Data types of installed packages (docs/plugins.md)."""

from importlib.metadata import entry_points

from veredus.schema.data_type import DataType, DeclarationError

# The group of entry points in which packages declare them.
GROUP = "veredus.data_types"


def plugin_types() -> list[DataType]:
    """The data types that installed packages declare. Raises DeclarationError."""
    found: list[DataType] = []
    for entry in entry_points(group=GROUP):
        about = f"the plug-in {entry.name} ({entry.value})"
        try:
            loaded = entry.load()
        except Exception as error:  # whatever it is, it is the package's
            raise DeclarationError(
                f"{about} cannot be imported: {error.__class__.__name__}: {error}"
            ) from error
        types = [loaded] if isinstance(loaded, DataType) else loaded
        if not isinstance(types, list | tuple) or not all(isinstance(type, DataType) for type in types):
            raise DeclarationError(f"{about} must name a DataType or a list of them")
        found += types
    return found
