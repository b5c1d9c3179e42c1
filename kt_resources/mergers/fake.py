"""A merger for unit tests of assets: the mean of the inputs' weights, with facts that obey the contract."""

from typing import Any

from kt_resources.compute.needs import Needs
from kt_resources.compute.program import write_json
from kt_resources.mergers.merge import copy_form
from kt_resources.mergers.spec import MergeSpec


class FakeMerger:
    """Writes a real checkpoint whose weights are the mean of the inputs'; keeps the specs that it was given."""

    def __init__(self) -> None:
        self.specs: list[MergeSpec] = []

    def merge(self, spec: MergeSpec, needs: Needs, context: Any = None) -> dict[str, Any]:
        """Merge by plain mean."""
        import numpy
        from safetensors.numpy import load_file, save_file

        self.specs.append(spec)
        target = spec.out_dir / "model"
        target.mkdir(parents=True)
        weights = [load_file(one.dir / "model.safetensors") for one in spec.inputs]
        mean = {name: numpy.mean([one[name] for one in weights], axis=0) for name in weights[0]}
        typed = {name: array.astype(weights[0][name].dtype) for name, array in mean.items()}
        save_file(typed, target / "model.safetensors")
        copy_form(spec.base_dir, target)
        same = ("tokenizer", "chat_template", "eos_token_id", "vocab_size")
        facts = {f"{name}_identical": True for name in same} | {
            "tied_embeddings_survive": True,
            "finite": True,
            "has_nan": False,
            "delta_norm_relative": 0.01,
            "stops_rate": 1.0,
            "min_distance_to_input": 0.01,
            "method": spec.method.method,
        }
        write_json(spec.out_dir / "facts.json", facts)
        return facts | {"compute": {"wall_s": 0.0}}
