"""Resources of our own: Pulumi dynamic providers, one file each, over Headscale's and the cluster's API."""
