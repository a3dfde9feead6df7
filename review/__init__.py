"""The review of a change: what `pulumi up` would do to each environment. A pull request gets it as a comment."""
