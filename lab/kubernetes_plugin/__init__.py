"""A stand-in for the official `pulumi-resource-kubernetes` v4.32.0, for machines that cannot have it.

The official plugin is a Go binary that a package registry may not carry. This package answers the same gRPC calls
over the PyPI `kubernetes` client, so that the lab's `pulumi up` runs on a real API server. Its answers were learnt
from recorded conversations with the official plugin. The program (`infra/`) knows nothing of it. The lab uses the
official plugin wherever it can be had.

How it reads, from the outside in: `provider` (the RPCs) → `check`, `diff`, `crud` (what they mean) → `submit` and
`object_client` (to the API server), `await_` (readiness), `state` and `properties` (what Pulumi keeps).
"""

VERSION = "4.32.0"
"""Version of the official plugin that this package stands in for."""
