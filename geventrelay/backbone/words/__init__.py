"""What devices say to each other over the backbone besides messages."""
