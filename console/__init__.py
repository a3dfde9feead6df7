"""What people's commands share: running programs, progress, errors, waiting, finding Pulumi.

It imports nothing of ours, and needs nothing that a laptop has not: no root, no Linux, no GNU tools.
"""
