"""The native burst: what of the engine is compiled."""
