"""The review of a change: what `pulumi up` would do to each environment, for a terminal or a pull request."""
