"""What a device is built from."""
