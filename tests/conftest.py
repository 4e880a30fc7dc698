"""What holds for all tests."""

from hypothesis import settings

settings.register_profile("shared", deadline=None)  # the machine may be busy: no test of ours asserts wall-clock time
settings.load_profile("shared")
