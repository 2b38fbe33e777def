"""ZMTP, the protocol of ZeroMQ between two sockets: bytes in, events out, bytes back.

Nothing here has a socket, a clock or a greenlet. `connection.Connection` is one end of a connection; what it is built
from is in a module each:

* `greeting`: which version the other end speaks, and the bytes that say which one this end speaks;
* `frames`: bytes to frames and back;
* `commands` and `metadata`: what frames that are commands say;
* `mechanism`: the handshake between the greeting and the first message; `plain` and `curve` are those with security;
* `session`: how frames are sealed after a handshake of CURVE, and `sodium`: whose functions do that;
* `traffic`: what frames mean after it, and `bounds`: what the other end may send;
* `events`: what comes out.

The specifications are RFC 37 (ZMTP 3.1), RFC 23 (3.0), RFC 15 (2.0) and RFC 13 (1.0), each at rfc.zeromq.org. Where
they leave a choice, this does as libzmq does (``zmtp_engine.cpp``, ``null_mechanism.cpp``, ``v2_decoder.cpp``).
"""
