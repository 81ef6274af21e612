"""The two kinds of lanes: those that compute what a `Recipe` says, and those that call a module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from caviar.engines.experiment import Called, NotFusibleError, Recipe
from caviar.engines.lanes.stack import Stack
from caviar.engines.lanes.training import Training
from caviar.engines.lanes.trust import why_distrusted
from caviar.engines.seats import Seats

if TYPE_CHECKING:  # with it comes Lightning
    from caviar.engines.called.training import CalledTraining

AnyTraining: TypeAlias = "Training | CalledTraining"
"""A training of either kind."""

AnyStack = Seats[Any]
"""A stack of either kind."""


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
