"""Work that NATS keeps until a worker has it."""
