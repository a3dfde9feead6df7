"""What a stack can be told, one module a section: the only home of each setting's type, default, rule and text.

The text below an attribute is what docs/reference.md and Pulumi.yaml say of it (`make reference`). No Pulumi in here:
the program, the dynamic resources and the playbooks read the same settings.
"""
