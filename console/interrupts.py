"""Ctrl-C and SIGTERM end a command in order, whoever started it.

`nohup`, `&` in a script and some CI runners start programs with SIGINT ignored. That is inherited, by Python and by all
that it starts: a Pulumi that is told to finish would never hear of it. A handler is not inherited.
"""

import signal


def heed() -> None:
    """Let both raise KeyboardInterrupt here, and have their usual effect on programs that are started from here."""
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.default_int_handler)
