"""What sees a message between its recv and its outlets, with engine libzmq."""
