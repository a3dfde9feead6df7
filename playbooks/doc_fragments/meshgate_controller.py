"""Documentation of where a module runs that uses the packages of this repository."""


class ModuleDocFragment:
    """What Ansible looks for in here."""

    DOCUMENTATION = r"""
options: {}
notes:
  - Runs on the controller in the Python of this repository's C(.venv), whose packages do the work. So give the task
    C(delegate_to=localhost) and C(ansible_python_interpreter) V({{ ansible_playbook_python }}).
"""
