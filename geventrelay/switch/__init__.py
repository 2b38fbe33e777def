"""The switch moves messages over connections of its own, without libzmq; users call it engine ``zmtp``.

`contract` says what its core promises. The core moves messages between connections whose handshake is over. It exists
in Python and in Cython, and both behave the same. All around it (listeners, handshakes, watchers, tries to connect
again) exists once.
"""
