"""Nobody gets an answer from a charon that knows no devices yet: a client that is refused may give up for good.

A charon that starts has no connections, so its ports are closed before it starts, and opened when all are loaded.
Clients send again what was dropped. It is a table of its own: the process that runs charon closes, the agent opens.
"""

from gateway.agent.command import CommandError, run
from gateway.agent.endpoints import IKE_PORT, NAT_PORT

TABLE = "inet meshgate-ipsec"


async def close() -> None:
    """Drop what comes in for charon; CommandError."""
    await run(
        *("nft", "-f", "-"),
        stdin=f"""
add table {TABLE}
delete table {TABLE}
table {TABLE} {{
    chain input {{
        type filter hook input priority filter - 2; policy accept;
        udp dport {{ {IKE_PORT}, {NAT_PORT} }} drop
    }}
}}
""",
    )


async def is_open() -> bool:
    """Whether clients get answers, as since an agent before this one."""
    try:
        await run("nft", "list", "table", *TABLE.split())
    except CommandError:
        return True
    return False


async def open_() -> None:
    """Let it in; CommandError."""
    await run("nft", "-f", "-", stdin=f"add table {TABLE}\ndelete table {TABLE}\n")
