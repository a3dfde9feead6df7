"""The infrastructure that Meshgate declares: settings, Headscale client, Pulumi resources and components."""
