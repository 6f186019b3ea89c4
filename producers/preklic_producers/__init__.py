"""What puts jobs on the queue: the client a website imports, and the HTTP gateway."""

from preklic_producers.courier import Receipt, Unavailable
from preklic_producers.fields import Rejected
from preklic_producers.producer import Mail, Producer, Status
from preklic_shared.jobs import Proof

__all__ = ["Mail", "Producer", "Proof", "Receipt", "Rejected", "Status", "Unavailable"]
