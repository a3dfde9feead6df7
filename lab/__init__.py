"""The embedded lab: a one-node Kubernetes cluster, a mesh and an Internet on one machine."""
