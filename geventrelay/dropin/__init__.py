"""pyzmq's calls and classes, for programs on gevent."""
