"""Bare-metal machines: real Debian systems in namespaces of their own."""
