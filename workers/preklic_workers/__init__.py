"""All that takes jobs off the queue: engine, handlers, store, SMTP, and the responders' commands."""
