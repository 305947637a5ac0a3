"""Signals are noted while a run goes on, and what was there before is put back."""

import os
import signal

import pytest

from hessrun.cli.main import main
from hessrun.run.signals import SecondSignal, Signals


def test_the_first_is_noted_and_the_second_ends_at_once() -> None:
    before = signal.getsignal(signal.SIGTERM)
    signals = Signals()
    signals.catch()
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.noted == signal.SIGTERM
        with pytest.raises(SecondSignal) as ended:
            os.kill(os.getpid(), signal.SIGINT)
        assert isinstance(ended.value, KeyboardInterrupt)
        assert ended.value.number == signal.SIGINT
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


@pytest.mark.parametrize(("error", "code"), [(SecondSignal(signal.SIGTERM), 143), (KeyboardInterrupt(), 130)])
def test_the_exit_code_is_that_of_the_signal(error: BaseException, code: int, monkeypatch, capsys) -> None:
    def ended(words: list[str]) -> int:
        raise error

    monkeypatch.setattr("hessrun.cli.app.run_hydra", ended)
    assert main(["optimizer=gd"]) == code
    assert capsys.readouterr().err == "hessrun: interrupted.\n"
