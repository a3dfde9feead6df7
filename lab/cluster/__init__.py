"""The one-node Kubernetes cluster: its certificates, its parts, and how they are started."""
