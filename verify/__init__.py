"""Whether a running stack works, way in by way in, seen from inside and from outside. Nothing is changed."""
