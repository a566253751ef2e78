"""The settings of bridges: from ``jmap2nats.json`` of each generation, and from ``[[bridge]]`` in TOML."""

from veredus.bridge.config.errors import ConfigError, SecretError
from veredus.bridge.config.load import Loaded, load
from veredus.bridge.config.public import public_json
from veredus.bridge.config.secret import read

__all__ = ["ConfigError", "Loaded", "SecretError", "load", "public_json", "read"]
