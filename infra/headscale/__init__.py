"""Client of Headscale's REST API, from 0.23 (June's) to 0.30: sync, typed, without any of our other packages.

`client` has the calls, `models` what they answer, `errors` how they fail. Nothing is imported here, so that a
Pulumi preview which talks to no server need not load an HTTP client.
"""

EXIT_ROUTES = ("0.0.0.0/0", "::/0")
"""What an exit node routes; Headscale approves both when one is approved."""
