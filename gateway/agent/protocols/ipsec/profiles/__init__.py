"""Files by which stock IPsec clients get ready, one module for each kind of client."""
