"""Ours beside the usual stacks, in turn, in one run: `python -m bench [--quick] [GROUP...] [--json FILE]`."""
