"""The key service: an app's users join the mesh themselves, as Tailscale clients, by pre-auth keys that it mints.

It holds Headscale's API key, so that no app has to, and can do three things with it: mint a key for a device, tell
whether the device has joined by it, and take its node out of the mesh.
"""
