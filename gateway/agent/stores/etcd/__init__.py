"""Devices of several members in etcd, by its API v3 as JSON over HTTP, and a copy of them on each member's own volume.

`store` has what a call does, `records` what is kept under which key, `copy` what a member knows without etcd,
`client` how etcd is asked, `complaints` what is said when it cannot be.
"""
