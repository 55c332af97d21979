"""A training loop on 1..N workers under Ray Train: each pinned to its GPU or core, restarted together when one dies."""

import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

RESTARTS = 3
"""How often the workers are started again after one died; the loop resumes from its own checkpoint."""

POLL_SECONDS = 0.3


@dataclass(frozen=True)
class Team:
    """What one worker knows of the others."""

    rank: int
    size: int
    device: Any
    post: Callable[[Mapping[str, Any]], None]
    """Send small values to the driver, which shows them."""

    def share(self, model: Any) -> Any:
        """The model with gradients averaged over all workers."""
        if self.size == 1:
            return model.to(self.device)
        from torch.nn.parallel import DistributedDataParallel

        pinned = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(model.to(self.device), device_ids=pinned)

    def share_buffers(self, model: Any) -> None:
        """Give every worker the first one's running statistics, which are those that will be kept."""
        if self.size > 1:
            import torch.distributed as dist

            for buffer in model.buffers():
                dist.broadcast(buffer, src=0)

    def total(self, tensor: Any) -> Any:
        """The sum over workers, in place."""
        if self.size > 1:
            import torch.distributed as dist

            dist.all_reduce(tensor)
        return tensor


Loop = Callable[[Any, Team], None]


def train_on_workers(
    ray: Any, loop: Loop, settings: Any, workers: int, gpus: float, on_post: Callable[[Mapping[str, Any]], None]
) -> None:
    """Run `loop(settings, team)` on every worker until all return. Its plain twin is `loop(settings, alone())`.

    The loop keeps its own checkpoints and continues from the last; an error it raises reaches the caller as it was.
    """
    from ray.train import ControllerError, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    mailbox = ray.remote(_Mailbox).options(num_cpus=0).remote()
    config = {"loop": loop, "settings": settings, "mailbox": mailbox}
    resources = {"CPU": 1, **({"GPU": gpus} if gpus else {})}
    scaling = ScalingConfig(num_workers=workers, use_gpu=gpus > 0, resources_per_worker=resources)
    with tempfile.TemporaryDirectory(prefix="furrow-train-") as folder, _delivery(ray, mailbox, on_post):

        def fit(attempt: int) -> None:
            failures = FailureConfig(max_failures=RESTARTS)
            run = RunConfig(storage_path=folder, name=f"run-{attempt}", failure_config=failures)
            TorchTrainer(_work, train_loop_config=config, scaling_config=scaling, run_config=run).fit()

        try:
            for attempt in range(RESTARTS + 1):
                try:
                    _in_a_thread(lambda attempt=attempt: fit(attempt))  # type: ignore[misc]
                    break
                except ControllerError:  # Ray Train gives up at once when a worker dies while workers are starting
                    if attempt == RESTARTS:
                        raise
        except Exception as error:
            raise _own_error(error) from error


def _in_a_thread(work: Callable[[], Any]) -> None:
    """In the main thread Ray would take over Ctrl-C, for good; here the caller keeps it."""
    done: Future[Any] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    done.result()


def alone(post: Callable[[Mapping[str, Any]], None] = lambda values: None) -> Team:
    """The team of one that needs no cluster."""
    import torch

    return Team(rank=0, size=1, device=torch.device("cpu"), post=post)


def _work(config: dict[str, Any]) -> None:
    import ray.train
    import ray.train.torch

    context = ray.train.get_context()
    mailbox = config["mailbox"]
    team = Team(
        rank=context.get_world_rank(),
        size=context.get_world_size(),
        device=ray.train.torch.get_device(),
        post=lambda values: mailbox.put.remote(dict(values)),
    )
    config["loop"](config["settings"], team)


class _Mailbox:
    """Carries small values from the workers to the driver."""

    def __init__(self) -> None:
        self.letters: list[dict[str, Any]] = []

    def put(self, letter: dict[str, Any]) -> None:
        self.letters.append(letter)

    def take(self) -> list[dict[str, Any]]:
        letters, self.letters = self.letters, []
        return letters


class _delivery:
    """Brings letters to the driver while training runs, and the last ones when it ends."""

    def __init__(self, ray: Any, mailbox: Any, on_post: Callable[[Mapping[str, Any]], None]) -> None:
        self.ray, self.mailbox, self.on_post = ray, mailbox, on_post
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()
        self._deliver()

    def _run(self) -> None:
        while not self.over.wait(POLL_SECONDS):
            self._deliver()

    def _deliver(self) -> None:
        try:
            letters = self.ray.get(self.mailbox.take.remote())
        except self.ray.exceptions.RayError:  # the cluster is going down; training reports why
            return
        for letter in letters:
            self.on_post(letter)


def _own_error(error: BaseException) -> BaseException:
    """The first error a worker raised, under Ray's wrappings; what that error itself came from stays beneath it."""
    failures = getattr(error, "worker_failures", None) or {}
    inner = next(iter(failures.values()), None) or getattr(error, "_base_exc", None) or getattr(error, "cause", None)
    return _own_error(inner) if isinstance(inner, BaseException) and inner is not error else error
