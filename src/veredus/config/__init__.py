"""Settings: what can be set, where a value came from, and what is wrong with it.

Only ``app`` and ``cli`` see this package; every other part takes plain arguments.
"""

from veredus.config.errors import ConfigError
from veredus.config.load import Loaded, find_file, load
from veredus.config.settings import Config

__all__ = ["Config", "ConfigError", "Loaded", "find_file", "load"]
