"""Outgoing webhooks (Standard Webhooks): what changed is read from the store, queued, signed and posted."""
