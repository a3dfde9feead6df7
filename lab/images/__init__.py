"""The images that the lab makes, and the gateway's artifact."""
