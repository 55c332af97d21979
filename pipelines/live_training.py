"""What training posts, on the terminal: each step once, whether it was resumed or done again after a worker died."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cluster.progress import Bar
from pipelines.recipe import Recipe


class LiveTraining:
    """Moves a bar that counts the steps of all networks."""

    def __init__(self, bar: Bar, say: Callable[[str], None]) -> None:
        self.bar, self.say = bar, say
        self.done: dict[str, int] = {}
        self.score: dict[str, float] = {}

    def show(self, post: Mapping[str, Any]) -> None:
        if "say" in post:
            self.say(post["say"])
            return
        if "validation_miou" in post:
            self.score[post["name"]] = post["validation_miou"]
        self._move(post["name"], post["step"], self._note(post))

    def end(self, recipes: Sequence[Recipe]) -> None:
        """A training that stopped early leaves steps that nobody will take."""
        for recipe in recipes:
            self._move(recipe.card.name, recipe.steps, "")

    def _move(self, name: str, step: int, note: str) -> None:
        new = max(step - self.done.get(name, 0), 0)
        self.done[name] = self.done.get(name, 0) + new
        if new or note:
            self.bar.advance(new, note)

    def _note(self, post: Mapping[str, Any]) -> str:
        name = post["name"]
        parts = [f"{name}: epoch {post['epoch']} of {post['epochs']}", f"loss {post['loss']:.3f}"]
        if name in self.score:
            parts.append(f"mIoU {self.score[name]:.3f}")
        parts.append(f"{post['patches_per_second']:.1f} patches/s")
        if "device_use" in post:
            parts.append(f"device {100 * post['device_use']:.0f} %")
        return ", ".join(parts)
