"""What producers and workers agree on: contracts, addresses, purposes, the broker, public keys."""
