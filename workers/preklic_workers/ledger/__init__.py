"""The ledger: what was done, as leaves of a Merkle tree whose heads are signed, so that no change is quiet."""
