"""What a server shows and takes over HTTP: the page, the JSON, the metrics.

It is handed a server, reads snapshots and settings from it, and calls the actions that a server and its devices offer.
It makes none of them: the types of servers and devices are imported for type checkers only.
"""
