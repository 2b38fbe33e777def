"""A connection to NATS, on a loop of its own."""
