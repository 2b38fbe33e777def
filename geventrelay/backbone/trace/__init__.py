"""How long a probe is where messages wait."""
