"""The Kubernetes parts that access modes are made of."""
