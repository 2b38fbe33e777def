from support.process import folder, run, start

__all__ = ["folder", "run", "start"]
