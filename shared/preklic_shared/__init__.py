"""What producers and workers agree on: contracts, rules of addresses and purposes, broker, keys' public side."""
