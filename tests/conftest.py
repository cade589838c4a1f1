"""What all tests share; and `services`, importable."""

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))

# How long an example takes says nothing on a busy machine; what failed once is written down as a test, not kept aside.
settings.register_profile("rolecall", deadline=None, max_examples=50, database=None)
settings.load_profile("rolecall")
