"""The rules that a stack is held to before anything is changed: a policy pack, and the same over a preview."""
