"""Documentation of a module that only looks."""


class ModuleDocFragment:
    """What Ansible looks for in here."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    support: full
    description: It never changes anything.
  diff_mode:
    support: none
    description: There is nothing to show.
"""
