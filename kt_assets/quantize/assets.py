"""The quantize room: the shipped checkpoint becomes a GGUF file with what a person needs to run it."""

import json
from typing import Any

import dagster as dg

from kt_assets.quantize.card import card_of
from kt_assets.stage import Made, Stage, Work
from kt_resources.compute.needs import Needs
from kt_resources.quantizers.config import GgufTarget
from kt_resources.quantizers.protocol import Quantizer
from kt_resources.quantizers.spec import QuantizeSpec
from kt_resources.recipes.recipe import Recipe
from kt_resources.store.store import Store
from kt_resources.store.tables import read_rows
from kt_resources.strict import Strict

VERSION = "1"


class QuantizeConfig(Strict):
    """The target, and how much held-out text the file is compared on.

    Attributes:
        num_probes: held-out prompts that checkpoint and GGUF both answer.
    """

    target: GgufTarget
    description: str = ""
    num_probes: int = 8
    resources: Needs = Needs()


def quantize_config(recipe: Recipe, target: GgufTarget) -> QuantizeConfig:
    """One target of the recipe."""
    return QuantizeConfig(target=target, description=recipe.description, resources=recipe.quantize.resources)


def gguf_model(stage: Stage) -> dg.AssetsDefinition:
    """The GGUF file, compared with its checkpoint, with Modelfile, chat template and model card."""

    @dg.asset(**stage.arguments())
    def gguf(
        context: dg.AssetExecutionContext, store: dg.ResourceParam[Store], quantizer: dg.ResourceParam[Quantizer]
    ) -> dg.MaterializeResult:
        return stage.materialize(context, store, lambda work: quantize_model(work, quantizer, store))

    return gguf
