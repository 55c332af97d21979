"""A training loop on 1..N workers under Ray Train: each pinned to its GPU or core, restarted together when one dies."""

import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

RESTARTS = 5
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
        """The model with gradients averaged over all workers, and the first one's weights.

        Gradients are summed in the order of the parameters, always: what DDP would choose to be faster by it chooses
        after the first step, so that a resumed training would round otherwise than an undisturbed one.
        """
        if self.size == 1:
            return model
        from torch.nn.parallel import DistributedDataParallel

        pinned = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(
            model, device_ids=pinned, forward_sync_buffers=False, find_unused_parameters=True
        )

    def averages(self, model: Any, now: bool) -> AbstractContextManager[Any]:
        """Around one of several passes: gradients are averaged in the last of them only."""
        return nullcontext() if now or self.size == 1 else model.no_sync()

    def total(self, tensor: Any) -> Any:
        """The sum over workers, in place."""
        if self.size > 1:
            import torch.distributed as dist

            dist.all_reduce(tensor)
        return tensor

    def of_first(self, data: bytes | None) -> bytes | None:
        """What the first worker has, on every one: files may change between one worker's reading and another's."""
        if self.size == 1:
            return data
        import torch
        import torch.distributed as dist

        length = torch.tensor([-1 if data is None else len(data)], device=self.device)
        dist.broadcast(length, src=0)
        if length.item() < 0:
            return None
        own = torch.frombuffer(bytearray(data or b""), dtype=torch.uint8) if self.rank == 0 and data else None
        held = torch.empty(int(length.item()), dtype=torch.uint8) if own is None else own
        held = held.to(self.device)
        dist.broadcast(held, src=0)
        return bytes(held.cpu().numpy().tobytes())


Loop = Callable[[Any, Team], None]


def train_on_workers(
    ray: Any,
    loop: Loop,
    settings: Any,
    workers: int,
    gpus: float,
    on_post: Callable[[Mapping[str, Any]], None],
    final: tuple[type[BaseException], ...] = (),
) -> int:
    """Run `loop(settings, team)` on every worker until all return. Its plain twin is `loop(settings, alone())`.

    The loop keeps its own checkpoints and continues from the last. Where a worker dies or an error may be its doing,
    all are started again; errors of the types `final` would only come again. An error of the loop reaches the caller
    as it was raised. Returns how often the workers were started again.
    """
    from ray.train import ControllerError, RunConfig, ScalingConfig, TrainingFailedError
    from ray.train.torch import TorchConfig, TorchTrainer

    mailbox = ray.remote(_Mailbox).options(num_cpus=0, scheduling_strategy=_beside_us(ray)).remote()
    config = {"loop": loop, "settings": settings, "mailbox": mailbox}
    resources = {"CPU": 1, **({"GPU": gpus} if gpus else {})}
    scaling = ScalingConfig(num_workers=workers, use_gpu=gpus > 0, resources_per_worker=resources)
    with tempfile.TemporaryDirectory(prefix="furrow-train-") as folder, _delivery(ray, mailbox, on_post):

        def fit(attempt: int) -> None:
            run = RunConfig(storage_path=folder, name=f"run-{attempt}")
            TorchTrainer(
                _work,
                train_loop_config=config,
                torch_config=TorchConfig(backend=backend_of(gpus)),
                scaling_config=scaling,
                run_config=run,
            ).fit()

        for attempt in range(RESTARTS + 1):
            held = _reserved(ray)
            try:
                _in_a_thread(lambda attempt=attempt: fit(attempt))  # type: ignore[misc]
                return attempt
            except TrainingFailedError as error:
                _give_back(ray, _reserved(ray) - held)
                own = _own_error(error, final)
                if isinstance(own, final) or attempt == RESTARTS:
                    raise own from error
                what = "workers could not be started" if isinstance(error, ControllerError) else "a worker was lost"
                on_post({"say": f"train: {what} ({_in_short(own)}); all are started again"})
    raise AssertionError("the last attempt returns or raises")


def backend_of(gpus: float) -> str:
    """How workers with so many GPUs each reach one another: NCCL refuses two of them on one GPU."""
    return "nccl" if gpus >= 1 else "gloo"


def _reserved(ray: Any) -> set[str]:
    """The placement groups of this job, by their ids, which end with the job's."""
    job = ray.get_runtime_context().get_job_id()
    table = ray.util.placement_group_table()
    return {name for name, group in table.items() if name.endswith(job) and group["state"] != "REMOVED"}


def _give_back(ray: Any, reserved: set[str]) -> None:
    """Ray Train forgets what it reserved for workers that died while they started: the next would wait for ever."""
    from ray.util.placement_group import PlacementGroup, remove_placement_group

    for name in reserved:
        remove_placement_group(PlacementGroup(ray.PlacementGroupID(bytes.fromhex(name))))


def _beside_us(ray: Any) -> Any:
    """On the driver's node, with which all is lost anyway; elsewhere it could be lost with a worker's node."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


def _in_short(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"[:200]


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


def _own_error(error: BaseException, sought: tuple[type[BaseException], ...] = ()) -> BaseException:
    """What a worker raised, under Ray's wrappings; what that error itself came from stays beneath it.

    When one worker raises, others fail with it as their messages get no answer: of several errors one of the types
    `sought` is the cause, else the first.
    """
    failures = [_own_error(failure, sought) for failure in (getattr(error, "worker_failures", None) or {}).values()]
    if failures:
        return next((failure for failure in failures if isinstance(failure, sought)), failures[0])
    inner = getattr(error, "_base_exc", None) or getattr(error, "controller_failure", None)
    inner = inner or getattr(error, "cause", None)
    return _own_error(inner, sought) if isinstance(inner, BaseException) and inner is not error else error
