"""The two kinds of lanes: those that compute what a `Recipe` says, and those that call a module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from caviar.engines.experiment import Called, NotFusibleError, Recipe
from caviar.engines.lanes.stack import Stack
from caviar.engines.lanes.training import Training
from caviar.engines.lanes.trust import why_distrusted
from caviar.engines.progress import Ended

if TYPE_CHECKING:
    from caviar.engines.called.training import CalledTraining

    AnyTraining = Training | CalledTraining


class AnyStack(Protocol):
    """What a stack of either kind can do: see `Stack`."""

    lanes: int

    @property
    def active(self) -> list[int]:
        """Lanes with a training."""
        ...

    @property
    def free(self) -> list[int]:
        """Lanes without one."""
        ...

    def holds(self, training: Any) -> bool:
        """Whether a training fits in."""
        ...

    def admit(self, training: Any, lane: int | None = None) -> int:
        """Put a training on a lane; which one."""
        ...

    def release(self, lane: int) -> None:
        """Empty a lane."""
        ...

    def resized(self, lanes: int, more: Sequence[Any] = ()) -> Any:
        """A stack of so many lanes with the same trainings, which ``more`` fit into."""
        ...

    def tick(self) -> list[Ended]:
        """Train all an epoch; what it came to, lane by lane."""
        ...

    def rewind(self) -> None:
        """Go back to where the epoch under way began."""
        ...

    def checkpoint(self, lane: int) -> dict[str, Any]:
        """A lane's best weights as Lightning has a checkpoint."""
        ...

    def save(self, lane: int) -> dict[str, Any]:
        """What `load` takes to go on with a lane elsewhere."""
        ...

    def load(self, lane: int, saved: dict[str, Any]) -> None:
        """Go on with a lane from what `save` gave."""
        ...


def training_of(
    recipe: Recipe | Called, native: bool = True, say: Callable[[str], None] = lambda text: None
) -> AnyTraining:
    """A training on no lane yet: as the recipe says, or, where that is not known, by its module's code.

    Args:
        native: the loop in C++ may step it.
        say: is told where its module comes to something else than the recipe.

    Raises:
        NotFusibleError: it cannot be a lane.
    """
    if isinstance(recipe, Recipe):
        try:
            training = Training(recipe)
            why = recipe.called and why_distrusted(training, native)
            if not why:
                return training
            say(f"lanes call training_step, not the loop that stands for it as it ships: {why}")
        except NotFusibleError:
            if recipe.called is None:
                raise
        assert recipe.called is not None
        recipe = recipe.called()
    from caviar.engines.called.training import CalledTraining  # and, with it, Lightning

    return CalledTraining(recipe)


def stack_of(trainings: Sequence[AnyTraining], lanes: int, device: str) -> AnyStack:
    """A stack for trainings of one kind, with nobody on its lanes."""
    if isinstance(trainings[0], Training):
        return Stack(cast("Sequence[Training]", trainings), lanes, device)
    from caviar.engines.called.stack import CalledStack

    return CalledStack(cast("Sequence[CalledTraining]", trainings), lanes)


def calls(thing: Any) -> bool:
    """Whether a training or a stack is of the kind that calls its module."""
    return not isinstance(thing, Training | Stack)
