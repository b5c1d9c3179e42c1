"""The quantize room: the shipped checkpoint becomes a GGUF file with what a person needs to run it."""

import json

import dagster as dg

from kt_assets.probes import probe_prompts
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

VERSION = "2"
NO_MIXES = ("model", "evaluation")


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


def quantize_model(work: Work, quantizer: Quantizer, store: Store) -> Made:
    """Export and quantize the shipped checkpoint, weighed over what it learned from; the card tells its origin."""
    config: QuantizeConfig = work.config
    evaluation = work.inputs["evaluation"]
    spec = QuantizeSpec(
        out_dir=work.out,
        scratch_dir=work.scratch,
        model_dir=work.inputs["model"].path("model"),
        target=config.target,
        calibration_files=tuple(mix.path("train.parquet") for name, mix in work.inputs.items() if name not in NO_MIXES),
        held_out_text=evaluation.path("general_text.txt"),
        probe_prompts=probe_prompts(read_rows(evaluation.path("items.parquet")), config.num_probes),
        name=work.stage.line,
        card=card_of(work, store),
    )
    result = quantizer.quantize(spec, work.needs, work.context)
    facts = json.loads((work.out / "facts.json").read_text())
    card, modelfile = ((work.out / name).read_text() for name in ("README.md", "Modelfile"))
    shown = {"model card": card, "Modelfile": f"```\n{modelfile}\n```"}
    return Made.of_program(result, facts, shown)
