"""What a server shows and takes over HTTP: the page, the JSON, the metrics."""
