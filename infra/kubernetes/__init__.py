"""What resources, components and the checks of `make new-env` share of Kubernetes: client, rollout, ownership."""
