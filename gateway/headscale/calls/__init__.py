"""The calls of Headscale's API, a module for each kind of thing; `client` puts them together."""
