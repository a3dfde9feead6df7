"""Bearer tokens of the peer API and their scopes, from a file that may change while the agent runs.

A line is `SCOPES TOKEN`, such as `register 9f…` or `read,register 9f…`. Lines that begin with # are passed over. During
a rotation the file holds the old token beside the new one, and both are good.
"""

import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.agent.settings_loading import SettingsError

FILE = "MESHGATE_TOKEN_FILE"
REGISTER, READ, ADMIN = "register", "read", "admin"
SCOPES = (REGISTER, READ, ADMIN)
"""What an orchestrator needs for a device of which it has the key; what shows all devices; everything."""

MIN_LENGTH = 16
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""What an Authorization header can carry (RFC 6750, section 2.1)."""


@dataclass(frozen=True)
class Token:
    """A token and what it is good for."""

    scopes: frozenset[str]
    secret: bytes = field(repr=False)


class Tokens:
    """The tokens that are good now."""

    def __init__(self, text: str) -> None:
        self._tokens = parse(text)

    async def take_up(self, text: str) -> None:
        """Let the file's new tokens be the good ones; SettingsError, and nothing changes, if they cannot be used."""
        self._tokens = parse(text)

    def grant(self, credentials: str) -> frozenset[str] | None:
        """The scopes of a token, `admin` as all of them; None for one that is not good.

        It is compared with every token, in a time that tells nothing of them.
        """
        sent = credentials.encode(errors="replace")
        scopes: frozenset[str] = frozenset()
        for token in self._tokens:
            if hmac.compare_digest(sent, token.secret):
                scopes |= token.scopes
        return frozenset(SCOPES) if ADMIN in scopes else scopes or None


def parse(text: str) -> tuple[Token, ...]:
    """The tokens of a file; SettingsError with one sentence per line that cannot be used, never with its content."""
    tokens, complaints = [], []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        found = list(_complaints(words))
        complaints += [f"{FILE}: line {number}: {complaint}" for complaint in found]
        if not found:
            tokens.append(Token(frozenset(words[0].split(",")), words[1].encode()))
    if complaints:
        raise SettingsError("\n".join(complaints))
    if not tokens:
        raise SettingsError(f"{FILE}: there is no token in it; write a line such as `admin TOKEN`")
    return tuple(tokens)


def _complaints(words: list[str]) -> Iterator[str]:
    if len(words) != 2:
        yield f"it has {len(words)} words; write scopes and a token, such as `{REGISTER},{READ} TOKEN`"
        return
    scopes, secret = words
    if not set(scopes.split(",")) <= set(SCOPES):
        yield f"its scopes are not all among {', '.join(SCOPES)}; write them with commas between, without spaces"
    if len(secret) < MIN_LENGTH:
        yield f"its token is shorter than {MIN_LENGTH} characters; take a random one of 32"
    elif not _TOKEN.fullmatch(secret):
        yield "its token has characters that no Authorization header carries; take letters, digits and -._~+/"
