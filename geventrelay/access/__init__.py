"""Who may connect to a device's sockets, and what a user may do there."""
