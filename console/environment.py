"""What a program that is run here learns of the caller's environment: a list of names, and nothing else.

A person's shell carries settings for tools that are run here too: PULUMI_ACCESS_TOKEN, KUBECONFIG, GOFLAGS,
PYTHONPATH, ANSIBLE_CONFIG. Each of them would make a run do something else than it does for others.
"""

import os
from collections.abc import Collection, Mapping

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where a distribution puts programs; root's PATH after `su` lacks half of it."""

_KEPT = ("HOME", "LOGNAME", "SSL_CERT_DIR", "SSL_CERT_FILE", "TERM", "TMPDIR", "TZ", "USER", "XDG_CACHE_HOME")
"""Who runs it, where, and which certificates this machine trusts."""

_DOWNLOADING = (
    *("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "all_proxy", "http_proxy", "https_proxy", "no_proxy"),
    # Where packages come from instead of the public registry, and who vouches for them.
    *("GOINSECURE", "GONOPROXY", "GONOSUMDB", "GOPRIVATE", "GOPROXY", "GOSUMDB"),
    *("PIP_CERT", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_TRUSTED_HOST"),
    *("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"),
)


def clean() -> dict[str, str]:
    """Return the environment of a program whose work depends on nothing of the caller's."""
    return {**_pick(_KEPT, os.environ), "LANG": "C.UTF-8", "PATH": _path()}


def downloading() -> dict[str, str]:
    """Return the same for a program that downloads: with the caller's proxies and mirrors."""
    return clean() | _pick(_DOWNLOADING, callers())


def enter() -> None:
    """Make the clean environment this process' own: libraries look there too. What it was before is kept aside."""
    _left.update(os.environ)
    entered = clean()
    os.environ.clear()
    os.environ.update(entered)


_left: dict[str, str] = {}
"""The environment that was left."""


def callers() -> dict[str, str]:
    """Return the caller's environment whole, for a program that is run as the caller would."""
    return {**_left, **os.environ}


def _pick(names: Collection[str], variables: Mapping[str, str]) -> dict[str, str]:
    return {name: variables[name] for name in names if name in variables}


def _path() -> str:
    """Return the caller's PATH and, behind it, what of the system's it lacks."""
    known = os.environ.get("PATH", "").split(os.pathsep)
    return os.pathsep.join([*filter(None, known), *(one for one in SYSTEM_PATH.split(":") if one not in known)])
