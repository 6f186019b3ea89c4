"""The way to a relay: a bounded pool of sessions, one conversation at a time, replies read as codes alone."""
