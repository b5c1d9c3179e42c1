"""Does a training fit? An asset check of every training asset, which can be run before the asset is made."""

import dagster as dg

from kt_assets.plan.base_shape import source_shape
from kt_assets.plan.steps import certain, is_training, settings_of, step_place
from kt_assets.stage import Stage
from kt_resources.compute.memory.shape import ModelShape, shape_of_folder
from kt_resources.errors import KtError
from kt_resources.recipes.base_model import BaseModelSource
from kt_resources.recipes.recipe import Step
from kt_resources.store.store import Store
from kt_resources.trainers.fitting import Place, Settings, nearest_that_fits
from kt_resources.trainers.protocol import Trainer

NAME = "memory_fits"


def memory_check(stage: Stage, base: BaseModelSource) -> dg.AssetChecksDefinition | None:
    """The check of ``stage``; None where it trains nothing. It asks for the plan alone, not for the asset.

    Args:
        base: the line's base model, whose shape counts where the step's start is not made yet.
    """
    step = stage.config
    if not is_training(stage) or not isinstance(step, Step):
        return None
    told = "The planned peak memory of this training stays within a device at hand; run it before the asset is made"

    @dg.asset_check(asset=stage.key, name=NAME, description=told)
    def memory_fits(store: dg.ResourceParam[Store], trainer: dg.ResourceParam[Trainer]) -> dg.AssetCheckResult:
        try:
            place = step_place(stage, store, _shape(stage, store, base), trainer.devices())
        except KtError as error:
            return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN, description=str(error))
        return check_result(settings_of(step), place)

    return memory_fits


def _shape(stage: Stage, store: Store, base: BaseModelSource) -> ModelShape:
    start = store.current(stage.parents["start"].asset)
    return shape_of_folder(start.path("model")) if start else source_shape(base)


def check_result(settings: Settings, place: Place) -> dg.AssetCheckResult:
    """The plan as Dagster shows it; where rows are not made yet it holds what is certain of them against the device."""
    memory, fits = place.memory(settings), certain(place).fits(settings)
    nearest = None if fits else nearest_that_fits(settings, place)
    rows = "" if place.lengths.known else ", with rows as long as the recipe lets them be"
    told = f"{memory.peak_gb:.2f} of {place.usable_gb:.1f} GB on {place.device.name}, in {memory.phase}{rows}"
    return dg.AssetCheckResult(
        passed=fits,
        severity=dg.AssetCheckSeverity.WARN,  # the step itself refuses, and says what would fit
        description=f"{told}; these settings fit: {nearest}" if nearest else told,
        metadata={"GB by part": dg.MetadataValue.json({k: round(v, 3) for k, v in memory.parts_gb.items()})},
    )
