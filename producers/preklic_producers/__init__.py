"""What puts jobs on the queue: the client a website imports, and the HTTP gateway."""
