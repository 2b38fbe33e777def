"""Messages with topics: to each device those that its subscribers want."""
