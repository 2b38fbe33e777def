"""What a pattern is. Builds sockets and pumps out of the engine."""
