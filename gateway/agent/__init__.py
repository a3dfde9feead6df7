"""The gateway's agent: lets devices in and out by the peer API, and keeps the way they come in and the firewall.

It reads top down. `run` puts everything together, `api` speaks HTTP, `devices` has the way of a device. Below these are
`store` (SQLite), `pool` (addresses), `expiry`, `firewall` (nft), `health` and `metrics`. All of them are
the same for every protocol: `protocol` says what they ask of one, `protocols` has a room for each.
"""
