"""The file that names the distribution and its release: os-release(5)."""

from __future__ import annotations

import re
from typing import Dict


def read_os_release(text: str) -> Dict[str, str]:
    """Return the shell-like assignments of os-release(5)."""
    assignments = re.findall(r"""^([A-Z_0-9]+)=(?:"([^"\n]*)"|'([^'\n]*)'|([^\n]*))$""", text, re.MULTILINE)
    return {name: double or single or bare for name, double, single, bare in assignments}
