"""What a device keeps of what it has published, for subscribers that come later."""
