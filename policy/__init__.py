"""The rules that a stack is held to before it is changed. A policy pack asks them, and so does a review."""
