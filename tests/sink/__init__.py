"""A real SMTP server that writes down what it saw, phase by phase, and misbehaves when asked: the ground truth."""

from sink.ledger import Entry, Ledger, read_ledger
from sink.modes import Mode
from sink.server import Mail, Sink

__all__ = ["Entry", "Ledger", "Mail", "Mode", "Sink", "read_ledger"]
