"""Real processes as the ranks of a command: forked from a server that has imported what they need, and so quickly."""

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

_PRELOADED = ["torch.distributed", "hessrun.cli.app", "hessrun.cli.job", "hessrun.problems", "hessrun.optimizers"]
_LONGEST = 120.0


class Crew:
    """Ranks 0 to size - 1, joined where `timeout` (seconds) is given; call it to have all of them do the same."""

    def __init__(self, size: int, timeout: float | None = None) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_PRELOADED)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._pipes, self.processes = [], []
        for rank in range(size):
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(there, rank, size, port, timeout), daemon=True)
            process.start()
            there.close()
            self._pipes.append(here)
            self.processes.append(process)

    def begin(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Have all ranks call `work`, a function of a module, with these arguments."""
        for pipe in self._pipes:
            pipe.send((work, arguments))

    def results(self) -> list[Any]:
        """What each rank's call returned; None for a rank that has died. Raises what one of them raised."""
        found = []
        for rank, pipe in enumerate(self._pipes):
            if not pipe.poll(_LONGEST):
                raise TimeoutError(f"rank {rank} has not answered for {_LONGEST} s")
            try:
                failed, value = pipe.recv()
            except EOFError:
                failed, value = False, None
            if failed:
                raise AssertionError(f"rank {rank}:\n{value}")
            found.append(value)
        return found

    def __call__(self, work: Callable[..., Any], *arguments: Any) -> list[Any]:
        self.begin(work, *arguments)
        return self.results()

    def close(self) -> None:
        """End what is left of them."""
        for pipe, process in zip(self._pipes, self.processes, strict=True):
            pipe.close()
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()


def _serve(pipe: Connection, rank: int, size: int, port: int, timeout: float | None) -> None:
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_RANK": str(rank),
        "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    import torch

    from hessrun import ranks

    torch.set_num_threads(1)
    if timeout is not None:
        ranks.start(timeout)
    while True:
        try:
            work, arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((False, work(*arguments)))
        except Exception:  # noqa: BLE001  (whatever it is, the test shows it)
            pipe.send((True, traceback.format_exc()))
