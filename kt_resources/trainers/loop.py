"""What the factory adds to every TRL trainer: row order, optimizer, held-out judgement.

Loaded only inside the training program; it imports torch at the top.
"""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import Sampler
from transformers.training_args import OptimizerNames

from kt_resources.trainers.keeper import Keeper
from kt_resources.trainers.optimizer import MasterAdamW
from kt_resources.trainers.order import ByEpoch, length_grouped
from kt_resources.trainers.pace import Pace
from kt_resources.trainers.updates.base import UpdateStrategy

if TYPE_CHECKING:
    from transformers import Trainer as _Trainer
else:
    _Trainer = object


TORCH_ADAMW = (OptimizerNames.ADAMW_TORCH, OptimizerNames.ADAMW_TORCH_FUSED)
"""The optimizers that :class:`MasterAdamW` stands in for where weights are trained in bfloat16."""


class FactoryLoop(_Trainer):
    """Mixed in before a TRL trainer: ``class FactorySFT(FactoryLoop, SFTTrainer)``.

    Args:
        keeper: judges each evaluation and keeps the best weights.
        pace: says when to evaluate and to write a checkpoint.
        trainable_dtype: name of a trainable tensor → the type in which it is trained.
        update: the update strategy, which may bring an optimizer of its own.
    """

    control: Any
    optimizer: Any

    def __init__(
        self,
        *args: Any,
        keeper: Keeper,
        pace: Pace,
        trainable_dtype: Callable[[str], torch.dtype],
        update: UpdateStrategy,
        **kwargs: Any,
    ) -> None:
        self.update, self.pace = update, pace
        self.keeper, self._trainable_dtype, self.evaluate_seconds = keeper, trainable_dtype, 0.0
        super().__init__(*args, **kwargs)
        self.add_callback(pace)
        self._set_trainable_types(self.model)
        update.attach(self.model)

    # -- order of rows

    def row_length(self, row: dict[str, Any]) -> int:
        """Tokens of a prepared row, for length-grouped batches."""
        raise NotImplementedError

    def epoch_order(self, epoch: int) -> Sequence[int] | Sampler:
        """Row numbers in the order of ``epoch``."""
        lengths = self.__dict__.setdefault("_row_lengths", [self.row_length(row) for row in self.train_dataset])
        step_size = self.loader_batch_size() * self.args.world_size * self.args.gradient_accumulation_steps
        return length_grouped(lengths, step_size, self.args.seed + epoch)

    def loader_batch_size(self) -> int:
        """Rows that one process draws for one micro-batch."""
        return self._train_batch_size

    def _get_train_sampler(self, dataset: Any = None) -> Sampler:
        sampler = ByEpoch(self.epoch_order, lambda: self.state.global_step // self.steps_per_epoch(len(sampler)))
        return sampler

    def steps_per_epoch(self, num_drawn: int) -> int:
        """Optimizer steps in an epoch that draws ``num_drawn`` row numbers."""
        batches = math.ceil(num_drawn / (self.loader_batch_size() * self.args.world_size))
        return max(1, math.ceil(batches / self.args.gradient_accumulation_steps))

    def rows_trained(self, step: int) -> list[str]:
        """Ids of the rows that the first ``step`` steps learned from, each once, in the data's order."""
        first = list(self.epoch_order(0))
        per_epoch = self.steps_per_epoch(len(first))
        per_step = self.loader_batch_size() * self.args.world_size * self.args.gradient_accumulation_steps
        seen: set[int] = set()
        for epoch in range(math.ceil(step / per_epoch)):
            steps = min(step - epoch * per_epoch, per_epoch)
            seen.update(list(self.epoch_order(epoch))[: steps * per_step])
        return list(dict.fromkeys(self.train_dataset[row]["id"] for row in sorted(seen)))

    # -- optimizer

    def _set_trainable_types(self, model: torch.nn.Module) -> None:
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and parameter.is_floating_point():
                parameter.data = parameter.data.to(self._trainable_dtype(name))

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW; with float32 copies where weights are trained in bfloat16."""
        target = self.model if model is None else model
        self._set_trainable_types(target)  # again: PEFT sets types of its own when it loads a checkpoint's adapter
        rounded = any(p.requires_grad and p.dtype == torch.bfloat16 for p in target.parameters())
        if self.optimizer is None and rounded and OptimizerNames(self.args.optim) in TORCH_ADAMW:
            self.optimizer_cls_and_kwargs = MasterAdamW, self.get_optimizer_cls_and_kwargs(self.args, target)[1]
        if self.optimizer is None:
            kind, options = self.optimizer_cls_and_kwargs or self.get_optimizer_cls_and_kwargs(self.args, target)
            self.optimizer = self.update.optimizer(target, self.args, kind, dict(options))
        optimizer = super().create_optimizer(model)
        self.update.remember(self.model, optimizer)
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The schedule of the arguments, as the update strategy changes it."""
        scheduler = super().create_scheduler(num_training_steps, optimizer)

        def changed(rate: Callable[[int], float]) -> Callable[[int], float]:
            return lambda step: rate(step) * self.update.rate_factor(step, num_training_steps)

        scheduler.lr_lambdas = [changed(rate) for rate in scheduler.lr_lambdas]
        return scheduler

    # -- held-out judgement

    def held_out_metrics(self) -> dict[str, float] | None:
        """Held-out figures, or None to take TRL's own evaluation."""
        return None

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Judge the present weights on the held-out rows and keep them where they are the best."""
        start = time.perf_counter()
        self.model.eval()
        metrics = self.held_out_metrics()
        if metrics is None:
            metrics = super().evaluate(*args, **kwargs)
        else:
            self.log(dict(metrics))
            self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        figures = {key: value for key, value in sorted(metrics.items()) if _is_figure(key)}
        self.keep(figures)
        self.evaluate_seconds += time.perf_counter() - start
        return metrics

    def keep(self, metrics: dict[str, float]) -> None:
        """Hand the present weights to the keeper."""
        self.keeper.judge(self.state.global_step, metrics, self._save_weights, self.args.should_save)

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        with self.pace.writing():
            super()._save_checkpoint(*args, **kwargs)

    def _save_weights(self, folder: Path) -> None:
        self.save_model(str(folder), _internal_call=True)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """No card in checkpoints; the project writes its own beside the exported model."""


def _is_figure(key: str) -> bool:
    """Whether a metric says something of the model, not of the machine's speed."""
    return not key.endswith(("_runtime", "_per_second")) and key != "epoch"
