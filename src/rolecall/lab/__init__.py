"""The lab: a whole inventory on throw-away real systemd machines on this computer, in seconds.

Callers use ``lab``. ``base`` builds the root file system that machines share; ``boss`` is the process that runs
them, each a ``machine``; ``control`` is the client of its socket, and ``access`` the files for ssh. ``relay`` and
``proxy`` connect the lab's network with the computer's.
"""

from rolecall.lab.lab import Lab, find

__all__ = ["Lab", "find"]
