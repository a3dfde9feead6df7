"""The gateway image: WireGuard, its firewall and the agent that lets peers in and out."""
