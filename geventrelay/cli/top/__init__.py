"""``geventrelay top``: a server in a terminal."""
