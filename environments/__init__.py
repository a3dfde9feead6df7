"""Environments: one stack each. `make new-env` asks for what one needs; `make reference` writes docs/reference.md."""
