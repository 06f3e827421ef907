import os
import signal

import pytest

from firsthand.errors import Stopped
from firsthand.train.signals import StopFlag


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_sets_the_flag_and_the_second_leaves(number, capsys):
    before = signal.getsignal(number)
    with StopFlag() as stop:
        stop.check("doing nothing")
        os.kill(os.getpid(), number)
        assert stop.wanted
        assert "Stopping" in capsys.readouterr().err
        with pytest.raises(Stopped, match="doing something"):
            stop.check("doing something")
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before
