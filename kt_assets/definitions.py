"""The code location: every recipe's line, and the one place that wires resources to assets."""

import os
from pathlib import Path

import dagster as dg

from kt_assets.line import Line, build_line
from kt_resources.compute.resources import (
    LocalCompute,
    ProgramBaseLoader,
    ProgramEvaluator,
    ProgramGenerator,
    ProgramMerger,
    ProgramQuantizer,
    ProgramTrainer,
)
from kt_resources.contracts.contract import load_contracts
from kt_resources.contracts.judge import GreatExpectations
from kt_resources.home import Home, resolve_root
from kt_resources.recipes.loading import RecipeFile, find_recipes
from kt_resources.store.store import Store


def recipe_folders() -> list[Path]:
    """Where recipes are looked for: the folder that ``KT_RECIPES`` names, else ``./recipes``; and those that ship."""
    return [own_recipes(), Path(__file__).parent / "recipes"]


def own_recipes() -> Path:
    """A person's own folder of recipes, which need not be there."""
    return Path(os.environ.get("KT_RECIPES") or "recipes").resolve()


def load_lines() -> tuple[list[Line], list[RecipeFile]]:
    """The lines of all recipes that parse, and the recipe files that do not, each with its error."""
    contracts, files = load_contracts(), find_recipes(recipe_folders())
    lines = [build_line(file.recipe, contracts, file.path.parent) for file in files if file.recipe]
    return lines, [file for file in files if file.recipe is None]


def broken_recipe(file: RecipeFile) -> dg.AssetSpec:
    """An asset ``<line>/recipe`` that shows why this line is missing."""
    told = f"This line is absent until its recipe is mended:\n\n```\n{file.error}\n```"
    return dg.AssetSpec([file.line, "recipe"], group_name=file.line, description=told, kinds={"yaml"})


def resources(home: Home) -> dict[str, object]:
    """What the assets use: the store under ``home``, and programs that run under a device lease."""
    compute = LocalCompute(home=str(home.root))
    return {
        "store": Store(home.store),
        "contracts": GreatExpectations(),
        "bases": ProgramBaseLoader(compute=compute),
        "trainer": ProgramTrainer(compute=compute),
        "generator": ProgramGenerator(compute=compute),
        "merger": ProgramMerger(compute=compute),
        "quantizer": ProgramQuantizer(compute=compute),
        "evaluator": ProgramEvaluator(compute=compute),
    }


def build_definitions() -> dg.Definitions:
    """All lines, checks, jobs and schedules over the resources of this home."""
    lines, broken = load_lines()
    return dg.Definitions(
        assets=[*(asset for line in lines for asset in line.assets), *(broken_recipe(file) for file in broken)],
        asset_checks=[checks for line in lines for checks in line.checks],
        jobs=[line.job for line in lines],
        schedules=[line.schedule for line in lines if line.schedule],
        resources=resources(Home(resolve_root())),
        executor=dg.in_process_executor,  # the heavy work is in programs; a process a step would only import
    )


defs = build_definitions()
