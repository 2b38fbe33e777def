"""What a signal is set to so that it ends a process."""

import signal

from geventrelay.first_process import deadly


def test_the_kernels_own_action_ends_every_process_but_the_first_of_a_namespace():
    assert deadly(2) is deadly(4711) is signal.SIG_DFL


def test_the_first_process_of_a_namespace_needs_a_handler():
    assert callable(deadly(1))
    assert deadly(1) not in (signal.SIG_DFL, signal.SIG_IGN)
