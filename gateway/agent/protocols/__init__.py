"""The protocols by which devices get in, a room each. A protocol knows nothing of HTTP or of another protocol."""
