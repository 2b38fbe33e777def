"""The commands, one a file; each has an `execute`."""
