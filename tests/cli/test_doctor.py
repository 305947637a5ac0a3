"""What `hessrun doctor` finds, and what it makes of a machine where something does not work."""

from pathlib import Path

import pytest

from hessrun.cli import doctor
from hessrun.cli.main import main


def lines(shown: str) -> dict[str, str]:
    return {line[:14].strip(): line[16:] for line in shown.splitlines()}


def test_it_says_what_there_is_and_leaves_nothing(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["doctor"]) == 0
    told = lines(capsys.readouterr().out)
    assert {"hessrun", "torch", "platform", "threads", "memory", "seed", "record", "commit", "CUDA"} <= told.keys()
    assert {"outputs", *doctor._EXTRAS} <= told.keys()
    assert told["a tiny run"].startswith("ok       L-BFGS converged")
    assert told["outputs"].startswith("ok ")
    assert list(tmp_path.iterdir()) == []
    assert main(["doctor", "now"]) == 2


def test_what_fails_is_named_and_exits_with_one(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)

    def refuse(dir: Path) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    monkeypatch.setitem(doctor._EXTRAS, "joblib", ("no_such_package.inside", "cells side by side"))
    assert main(["doctor"]) == 1
    told = lines(capsys.readouterr().out)
    assert told["outputs"].startswith("FAILS")
    assert "Read-only file system" in told["outputs"]
    assert told["joblib"] == "missing  cells side by side: pip install 'hessrun[joblib]'"


@pytest.mark.parametrize("value", [63.0, 64.0])
def test_a_device_that_computes_wrongly_fails(value: float, monkeypatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a device")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    ones = torch.ones
    monkeypatch.setattr(torch, "ones", lambda *shape, device, **options: ones(*shape, **options) * (value / 64) ** 0.5)
    assert doctor._cuda()[1] == ("ok" if value == 64 else "FAILS")
