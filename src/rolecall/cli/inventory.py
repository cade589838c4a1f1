"""``rolecall inventory``."""

from __future__ import annotations

import click


@click.group()
def inventory() -> None:
    """Work on the inventory itself."""
