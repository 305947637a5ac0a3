"""How ranks share the processors, the memory and the CUDA devices of a machine."""

import os

import pytest
import torch

from hessrun import ranks
from hessrun.cli import device
from hessrun.errors import OptionError
from hessrun.linalg.memory import available_bytes
from hessrun.ranks import group


@pytest.fixture
def two_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process as the second of two on one machine."""
    this = group.Group(ranks.Place(1, 2, 1, 2), 1.0, None, "gloo")
    monkeypatch.setattr(group, "_joined", this)
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "1")


def test_memory_andcores_are_halved(two_here: None, monkeypatch: pytest.MonkeyPatch) -> None:
    host = torch.device("cpu")
    assert available_bytes(host) == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
    taken: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", taken.append)
    monkeypatch.setattr(device, "threadpool_limits", lambda count, user_api: taken.append(count))
    monkeypatch.setattr(device, "cores", lambda: 6)
    device.prepare_host(None)
    device.prepare_host(5)
    assert taken == [3, 3, 5, 5]


@pytest.mark.parametrize(
    ("name", "there", "told"),
    [
        ("cuda:1", 2, "several ranks take a CUDA device each; use device=cuda"),
        ("cuda", 1, "there are 1 CUDA devices for 2 ranks; start 1"),
    ],
)
def test_a_cuda_device_is_for_one_rank(
    two_here: None, monkeypatch: pytest.MonkeyPatch, name: str, there: int, told: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    monkeypatch.setattr(device, "_make_cuda_repeatable", lambda: None)
    with pytest.raises(OptionError, match=told):
        device.device_of(name)


def test_each_rank_takes_the_cuda_device_of_its_place(two_here: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(device, "_make_cuda_repeatable", lambda: None)
    assert device.device_of("auto") == torch.device("cuda", 1)
