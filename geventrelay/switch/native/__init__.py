"""The core of the switch in Cython; see `geventrelay.switch.contract`. Built where there is a compiler."""
