"""The gateway's agent: keeps a WireGuard interface, its peers and its firewall, and serves the peer API.

How it reads, top down: `run` (start and end), `api` (HTTP), `peers` (the way of a peer), and below these
`store` (SQLite), `pool` (addresses), `wireguard`, `link` and `firewall` (the data plane's own tools).
"""
