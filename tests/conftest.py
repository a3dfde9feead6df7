"""Tests depend on nothing of the environment they are started in, and Ctrl-C works in all of them."""

import signal

from console import environment

environment.enter()
signal.signal(signal.SIGINT, signal.default_int_handler)
