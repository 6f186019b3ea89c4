"""What comes back about a mail: reports of listeners and webhooks, in one form, made jobs."""
