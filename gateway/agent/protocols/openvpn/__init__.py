"""OpenVPN: certificates alone, one process per transport, and the agent as its allow-list.

The agent answers each client that connects or renews its keys, by the management interface. No CRL, script or pool.
"""
