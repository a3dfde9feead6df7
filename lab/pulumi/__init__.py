"""The lab's own Pulumi: its programs, its Kubernetes plugin, its stacks and their settings."""
