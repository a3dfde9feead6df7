"""What the Secrets of gateways and of the key service hold: the names in them, and tokens written and read."""

from collections.abc import Iterable, Mapping

TOKENS, ADMIN_TOKEN, PRIVATE_KEY, PRE_AUTH_KEY = "tokens", "admin-token", "private-key", "pre-auth-key"
PREVIOUS_PRIVATE_KEY = "previous-private-key"
ISSUING_CERTIFICATE, ISSUING_KEY = "issuing.crt", "issuing.key"


def token_file(orchestrators: Iterable[str], admin: str) -> str:
    """The lines that the agent reads its tokens from; an empty token stands for none."""
    return "".join(f"register {token}\n" for token in orchestrators if token) + f"admin {admin}\n"


def tokens(file: str) -> Mapping[str, str] | None:
    """The tokens of a stack's token file by what they are to it; None for another one's."""
    lines = [line.split() for line in file.splitlines()]
    match [one for one in lines if len(one) == 2]:
        case [["register", value], ["register", following], ["admin", admin]]:
            return {"value": value, "previous": "", "next": following, "admin": admin}
        case [["register", value], ["register", previous], ["register", following], ["admin", admin]]:
            return {"value": value, "previous": previous, "next": following, "admin": admin}
    return None
