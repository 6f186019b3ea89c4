"""The HTTP gateway: what websites post, and the public pages that stand in mails. Needs the extra `gateway`."""
