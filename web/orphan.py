"""A worker whose master was killed must not serve on: it would keep the port from whoever starts web again."""

import ctypes
import os
import signal
import sys

MASTER = os.getpid()  # whoever imports this first: workers are forked
_PR_SET_PDEATHSIG = 1  # prctl(2)


def end_with_master() -> None:
    """For a worker: end when its master does, however that ends. On Linux; elsewhere nothing tells."""
    if sys.platform != "linux" or os.getpid() == MASTER:
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != MASTER:  # it ended before we could ask
        os.kill(os.getpid(), signal.SIGKILL)
