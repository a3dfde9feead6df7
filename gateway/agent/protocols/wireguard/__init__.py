"""WireGuard: `interface` is the process that makes wg0 and holds it, `tunnel` keeps wg0 as it should be.

`peers` brings the interface's peers in line with the store. `wg`, `link` and `sockets` are the ways to the interface,
`keys` and `key_pair` judge keys.
"""
