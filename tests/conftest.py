"""What all tests share."""

from hypothesis import settings

# How long an example takes says nothing on a busy machine; what failed once is written down as a test, not kept aside.
settings.register_profile("rolecall", deadline=None, max_examples=50, database=None)
settings.load_profile("rolecall")
