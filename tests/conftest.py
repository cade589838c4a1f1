"""What all tests share; and `services`, importable."""

import sys
from pathlib import Path

from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))

# How long an example takes says nothing on a busy machine; what failed once is written down as a test, not kept aside.
# Each run has other examples, so that many quick ones find what a thorough one does (the part "laws" of script/test).
settings.register_profile("quick", deadline=None, max_examples=12, database=None)
settings.register_profile("thorough", settings.get_profile("quick"), max_examples=100)
settings.load_profile("quick")
