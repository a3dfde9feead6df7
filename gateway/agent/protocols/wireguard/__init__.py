"""WireGuard: `interface` makes wg0 and holds it, in a process of its own; `tunnel` keeps it as it should be.

`wg` and `link` are the two tools that read and change the interface, `keys` says what a key is.
"""
