"""The state directory of a machine; `store` shows what is in it."""

from __future__ import annotations

HOME = "/var/lib/rolecall"
