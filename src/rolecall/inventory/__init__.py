"""Stage 1: inventory files to `rolecall.model.inventory.Loaded`. Read `load.py` first."""

from rolecall.inventory.load import Read, check, load, read
from rolecall.inventory.locate import locate

__all__ = ["Read", "check", "load", "locate", "read"]
