"""The lab: a whole inventory on throw-away real systemd machines on this computer, in seconds.

``lab`` is what callers use. ``base`` makes the root file system that machines share; ``boss`` is the part
that runs as root and keeps the machines; ``relay`` and ``proxy`` are its two ways between the lab's network
and the computer's.
"""

from rolecall.lab.lab import Lab, find

__all__ = ["Lab", "find"]
