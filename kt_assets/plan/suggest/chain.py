"""Which objectives, in which order: from the kinds of rows there are."""

from dataclasses import dataclass

from kt_assets.plan.suggest.situation import Choice, Situation
from kt_resources.errors import RecipeError

PLAYBOOK = "post-training playbook, the multi-stage pipeline"
PLAYBOOK_SCENARIOS = "post-training playbook, when to use what"
SURVEY = "survey, reference fine-tuning pipeline"

MANY_PAIRS = 10_000
FEW_PAIRS = 200
FEWEST_PROMPTS = 32
RL_GOALS = ("reasoning", "code", "extraction", "classification")
"""Goals at which reinforcement learning from verifiable answers aims; chat has none to verify."""


@dataclass(frozen=True)
class Link:
    """A step of the chain: its objective, and the kind of rows that it learns from."""

    objective: str
    rows: str


def choose_chain(situation: Situation) -> tuple[list[Link], list[Choice]]:
    """The links in order and why each is there.

    Raises:
        RecipeError: there is nothing to learn from, or prompts alone and nothing to judge answers by.
    """
    links, choices = _imitation(situation)
    preference = _preference(situation, links)
    for link, choice in [*preference, *_reinforcement(situation, bool(links or preference))]:
        links.append(link)
        choices.append(choice)
    if not links:
        what = "there are prompts alone, and nothing to judge answers by" if situation.prompts else "there are no rows"
        raise RecipeError(what, where="--file", mend="give rows with answers, pairs or labels, or name a verifier")
    return links, choices


def _imitation(situation: Situation) -> tuple[list[Link], list[Choice]]:
    s = situation
    if s.pairs >= MANY_PAIRS and s.examples and s.wish != "one_stage":
        why = f"{s.pairs} pairs teach format and preference at once; the {s.examples} examples then refine the domain"
        choice = Choice("chain", "orpo → sft", why, PLAYBOOK)
        return [Link("orpo", "pairs"), Link("sft", "examples")], [choice]
    if s.pairs and (s.wish == "one_stage" or not s.examples):
        reason = "one stage was wished for" if s.examples else "there are pairs and no other examples"
        choice = Choice("chain", "orpo", f"{reason}: ORPO learns answers and preference together", PLAYBOOK_SCENARIOS)
        return [Link("orpo", "pairs")], [choice]
    if s.examples:
        return [Link("sft", "examples")], [Choice("chain", "sft", f"{s.examples} examples show what to answer", SURVEY)]
    return [], []


def _preference(situation: Situation, links: list[Link]) -> list[tuple[Link, Choice]]:
    s, first = situation, [link.objective for link in links]
    if first == ["orpo", "sft"]:
        why = "a last polish on the preference set, without a reference model"
        return [(Link("simpo", "pairs"), Choice("chain", "simpo", why, PLAYBOOK))]
    if first == ["orpo"]:
        return []
    if s.pairs >= FEW_PAIRS:
        why = f"{s.pairs} pairs after SFT ({FEW_PAIRS} to 1,000 do); the reference is the SFT model"
        return [(Link("dpo", "pairs"), Choice("chain", "dpo", why, SURVEY))]
    if s.pairs or s.labels:
        told = f"{s.labels} labelled answers" if s.labels else f"{s.pairs} pairs are few; as labels they go further"
        rows = "labels" if s.labels else "pairs"
        return [(Link("kto", rows), Choice("chain", "kto", f"{told}: KTO needs no pairs", PLAYBOOK_SCENARIOS))]
    return []


def _reinforcement(situation: Situation, begun: bool) -> list[tuple[Link, Choice]]:
    s = situation
    if s.rl_prompts < FEWEST_PROMPTS or (begun and (s.goal not in RL_GOALS or s.wish == "one_stage")):
        return []
    why = f"a program can tell right answers to {s.rl_prompts} prompts, and the goal is {s.goal}"
    return [(Link("grpo", "prompts"), Choice("chain", "grpo", why, SURVEY))]
