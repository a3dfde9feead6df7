"""The gateway's agent: keeps a WireGuard interface, its devices and its firewall, and serves the peer API.

How it reads, top down: `run` (start and end), `api` (HTTP), `devices` (the way of a device), and below these
`store` (SQLite), `pool` (addresses), `wireguard`, `link` and `firewall` (the data plane's own tools).
"""
