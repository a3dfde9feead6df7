"""Secrets that are told by their form, whatever they are called."""

import re

FORMS = {
    "a key of Headscale": re.compile(r"\bhskey-[a-z]+-"),
    "a key of Tailscale": re.compile(r"\btskey-[a-z]+-"),
    "a private key of a mesh node": re.compile(r"\bprivkey:[0-9a-f]{64}"),
    "a private key in PEM form": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "credentials in a URL": re.compile(r"://[^/\s:@]+:[^/\s@]+@"),
}


def refuse(value: object) -> None:
    """Raise ValueError, which does not repeat it, for a setting in plain text that holds a secret."""
    for what, form in FORMS.items():
        if isinstance(value, str) and form.search(value):
            raise ValueError(f"it must not hold {what}: others read the settings and the state; leave it out")
    if isinstance(value, dict):
        value = list(value.values())
    for one in value if isinstance(value, list | tuple) else ():
        refuse(one)
