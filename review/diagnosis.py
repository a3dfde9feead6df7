"""Why a preview failed, in the program's own sentences, and whether the environment was out of reach."""

import re
from collections.abc import Iterable, Sequence

from infra.protection import ALLOWANCE, KEPT
from review.values import cut, printable

SENTENCES, CHARACTERS, LINES = 10, 800, 8
"""How much of an error is told. `pulumi preview` tells all of it."""

_ECHO = re.compile(
    r"(?:preview|update) failed"
    r"|an unhandled error occurred: program exited with non-zero exit code: \d+"
    r"|resource monitor (?:has terminated, )?shut(?:ting)? down",
    re.IGNORECASE,
)
"""What the engine says after every other error."""

_PREFIXES = re.compile(
    r"^(?:error: |warning: |Preview failed: |ResourceError: "
    r'|before hook "[^"]+" failed: '
    r"|\S+ resource '[^']*' has a problem: )+"
)
"""What Pulumi puts before our sentence."""

_OUT_OF_REACH = re.compile(
    r"cannot be reached|is not available \(\d+|cluster is unreachable|There is no cluster:"
    r"|connection refused|no such host|no route to host|network is unreachable|i/o timeout|TLS handshake timeout",
    re.IGNORECASE,
)
"""How we and Pulumi say that Headscale, the cluster or the state's backend is away."""

_PROTECTED = re.compile(
    r'^(?:unable to replace )?resource "(?P<urn>[^"]+)"\s+'
    r"(?:as it is currently marked for protection|(?P<deleted>cannot be deleted)\s+because it is protected)"
)
"""How the engine refuses to end what is protected. Its remedies are not ours."""

_TRACEBACK = "Traceback (most recent call last):"


def sentences(messages: Iterable[str]) -> tuple[str, ...]:
    """What messages say, each once, without the engine's echoes and prefixes and without tracebacks."""
    told = dict.fromkeys(filter(None, map(_sentence, messages)))
    return tuple(list(told)[:SENTENCES])


def out_of_reach(errors: Sequence[str]) -> bool:
    """Whether the errors say that a system is away, and nothing else."""
    return bool(errors) and all(_OUT_OF_REACH.search(error) for error in errors)


def last_words(said: str) -> tuple[str, ...]:
    """The errors of a run that ended before the engine began; else what it printed last."""
    lines = [line for line in said.splitlines() if line.strip()]
    return sentences([line for line in lines if line.startswith("error: ")] or lines[-3:])


def _sentence(message: str) -> str:
    text = message.strip()
    if _TRACEBACK in text:
        # Ours to repair, nothing to act upon: the exception tells enough.
        text = f"{text.partition(_TRACEBACK)[0].strip()} {text.splitlines()[-1].strip()}".strip()
    text = _PREFIXES.sub("", text)
    if _ECHO.fullmatch(text):
        return ""
    if refused := _PROTECTED.match(text):
        return _protected(refused["urn"], "deleted" if refused["deleted"] else "replaced")
    lines = [cut(printable(line.rstrip()), CHARACTERS) for line in text.splitlines() if line.strip()]
    more = [f"… ({len(lines) - LINES} more lines)"] if len(lines) > LINES else []
    return "\n".join(lines[:LINES] + more)


def _protected(urn: str, done: str) -> str:
    type_, name = urn.split("::")[2].rpartition("$")[2], urn.rpartition("::")[2]
    what = f"it is {KEPT[type_]}" if type_ in KEPT else "somebody protected it by hand"
    return printable(f"{type_.rpartition(':')[2]} {name} would be {done}, and it is protected: {what}. {ALLOWANCE}")
