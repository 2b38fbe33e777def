"""What the tests share. Nothing here knows a test."""
