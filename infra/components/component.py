"""What all components share: the place of their children in the tree."""

import pulumi


class Component(pulumi.ComponentResource):
    """A component whose children are parented by `child()`."""

    def child(
        self,
        *depends_on: pulumi.Resource,
        provider: pulumi.ProviderResource | None = None,
        hooks: pulumi.ResourceHookBinding | None = None,
    ) -> pulumi.ResourceOptions:
        """Options of a resource of this component."""
        return pulumi.ResourceOptions(parent=self, depends_on=list(depends_on), provider=provider, hooks=hooks)
