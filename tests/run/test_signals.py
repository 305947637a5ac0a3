"""Signals are noted while a run goes on, and what was there before is put back."""

import os
import signal

import pytest

from hessrun.run.signals import Signals


def test_the_first_is_noted_and_the_second_ends_at_once() -> None:
    before = signal.getsignal(signal.SIGTERM)
    signals = Signals()
    signals.catch()
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.noted == signal.SIGTERM
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert signals.noted == signal.SIGTERM
    finally:
        signals.release()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_handler_that_was_not_set_from_python_gives_way_to_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    signals = Signals()
    with monkeypatch.context() as patch:
        real = signal.signal
        patch.setattr(signal, "signal", lambda number, handler: real(number, handler) and None)
        signals.catch()
    try:
        signals.release()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, signal.default_int_handler)
