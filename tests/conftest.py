"""For tests of every tier."""

from hypothesis import HealthCheck, settings

# By the clock on the wall an example is as slow as whatever else the machine does: pytest's timeout is the only one.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
