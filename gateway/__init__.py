"""The gateway image: WireGuard, its firewall and the agent that lets peers in and out."""

__version__ = "0.1.0"
