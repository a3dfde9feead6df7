"""WireGuard: `interface_process` makes wg0 and holds it, `tunnel` keeps wg0 as it should be.

`access` is all of it to the agent. `peers` brings the interface's peers in line with the store. `wg`, `link` and
`sockets` are the ways to the interface, `keys` and `key_pair` judge keys. While a key is rotated `rotation` has the
previous one beside the present one, each with its own interface.
"""
