"""Documentation of the arguments that lead to a Headscale server: `SERVER` in module_utils/meshgate.py."""


class ModuleDocFragment:
    """What Ansible looks for in here."""

    DOCUMENTATION = r"""
options:
  url:
    description: Where Headscale answers, such as V(https://headscale.example.com); C(http://) only on this machine.
    type: str
    required: true
  api_key:
    description: An API key of the server (C(headscale apikeys create)). It is sent in a header and shown nowhere.
    type: str
    required: true
  ca_certificate:
    description: The CA that signed the server's certificate, as PEM text, when it is not a public one.
    type: str
notes:
  - Headscale from 0.23.0 to 0.29.3.
"""
