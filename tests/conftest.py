"""Tests depend on nothing of the environment they are started in, and Ctrl-C works in all of them."""

import signal

from hypothesis import HealthCheck, settings

from console import environment

environment.enter()
signal.signal(signal.SIGINT, signal.default_int_handler)

# In a fresh checkout the first text takes seconds, as Hypothesis makes its tables of characters.
# It is no fault of the test that comes first.
settings.register_profile("fresh-checkout", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fresh-checkout")
