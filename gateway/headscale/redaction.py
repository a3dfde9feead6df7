"""Text of others, made fit for an error message: no key in it, and short."""

import re

LIMIT = 240
"""Characters of foreign text that a message carries: enough to tell, too few to leak a document."""

_KEYS = re.compile(
    r"(?:hskey-(?:api|auth)|tskey)-[\w-]+"  # Headscale 0.28 and later; Tailscale
    r"|\b[0-9a-f]{48}\b"  # pre-auth key before 0.28
    r"|(?<![\w-])(?:[\w-]{7}\.[\w-]{32}|[\w-]{10}\.[\w-]{43})(?![\w-])"  # API key before 0.28, and of 0.23
)


def redact(text: str) -> str:
    """The text with every Headscale or Tailscale key in it replaced by `***`."""
    return _KEYS.sub("***", text)


def excerpt(text: str) -> str:
    """The text on one line, without keys and final full stop, cut to LIMIT characters."""
    line = redact(" ".join(text.split())).rstrip(".")
    return line if len(line) <= LIMIT else line[: LIMIT - 1] + "…"
