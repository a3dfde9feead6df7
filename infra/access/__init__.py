"""Access modes: the ways by which an app's users get onto the network, one module each."""
