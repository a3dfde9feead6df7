"""The infrastructure that Meshgate declares, from settings and clients up to targets and access modes."""
