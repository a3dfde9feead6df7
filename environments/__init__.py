"""Environments: each is a stack. `make new-env` makes one; `make reference` writes docs/reference.md."""
