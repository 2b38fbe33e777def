"""The legs of ``scripts/soak``: one noun per module."""
