"""How the lab comes by the programs it runs: pinned Go builds, the Go toolchain, Debian packages, their cache."""
