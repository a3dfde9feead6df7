"""The review of a change: what `pulumi up` would do to each environment, as the comment on a pull request says it."""
