"""The whole suggestion: chain, settings, and the steps as a recipe has them."""

from dataclasses import dataclass
from typing import Any

from kt_assets.plan.suggest.chain import choose_chain
from kt_assets.plan.suggest.settings import SuggestedStep, choose_settings
from kt_assets.plan.suggest.situation import Choice, Situation

DATASETS = {"examples": "training_mix", "pairs": "my_pairs", "labels": "my_labels", "prompts": "rl_prompts"}
"""Kind of rows → what a recipe written for them calls the dataset that holds them."""


@dataclass(frozen=True)
class Suggestion:
    """A chain for a situation."""

    situation: Situation
    chain: tuple[Choice, ...]
    steps: tuple[SuggestedStep, ...]

    @property
    def room(self) -> int:
        """Tokens of the longest row that every step has room for."""
        return min(step.room for step in self.steps)

    def recipe_steps(self) -> list[dict[str, Any]]:
        """The recipe's ``training`` list; each step starts from the one before it."""
        found: list[dict[str, Any]] = []
        for step in self.steps:
            start = found[-1]["name"] if found else "base_model"
            data = DATASETS[step.link.rows]
            found.append({"name": step.link.objective, "start": start, "data": data, **step.fields()})
        return found


def suggest(situation: Situation) -> Suggestion:
    """Chain and settings for ``situation``.

    Raises:
        RecipeError: there is nothing to learn from.
        ComputeError: no settings of the model fit the device.
    """
    links, choices = choose_chain(situation)
    return Suggestion(situation, tuple(choices), tuple(choose_settings(situation, link) for link in links))
