"""The parts that targets are made of, most of them Kubernetes objects."""
