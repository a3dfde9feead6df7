"""Client of Headscale's REST API: sync, typed, without any of our other packages. Supported versions: 0.23.0 to 0.29.3.

Proved on real servers: 0.23.0 and 0.29.3 by `make test`; 0.25.1, 0.26.1, 0.27.1, 0.28.0 and an upgrade through all six
by `make prove`. `client` has the calls, `models` what they answer, `errors` how they fail. Nothing is imported here: a
Pulumi preview that talks to no server need not load an HTTP client.
"""

EXIT_ROUTES = ("0.0.0.0/0", "::/0")
"""What an exit node routes; Headscale approves both when one is approved."""
