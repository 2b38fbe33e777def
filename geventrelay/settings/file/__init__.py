"""A configuration file -> settings, or every problem of the file with its line."""
