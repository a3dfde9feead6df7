"""The lab's network namespaces and what lives in them: sandboxes and native WireGuard clients."""
