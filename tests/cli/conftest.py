from support.process import folder, peers, run, start

__all__ = ["folder", "peers", "run", "start"]
