"""The stages of a line as a plain script: TRL, mergekit and llama.cpp as they come, one process, no store, no checks.

``python -m benchmarks.overhead.plain --line arithmetic --home KT_HOME --out FOLDER``: reads the recipe and the tables
that the pipeline made under KT_HOME, trains and generates everything itself, and writes ``seconds.json``.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kt_resources.generators.config import Sampling
from kt_resources.recipes.base_model import BASE
from kt_resources.recipes.datasets import OnPolicyPairs
from kt_resources.recipes.recipe import Recipe, Step
from kt_resources.store.store import Store


class PlainScript:
    """One pass over a recipe's stages; ``seconds`` has each one's time."""

    def __init__(self, recipe: Recipe, store: Store, out: Path) -> None:
        self.recipe, self.store, self.out = recipe, store, out
        self.models: dict[str, Path] = {}
        self.seconds: dict[str, float] = {}

    def run(self) -> None:
        """Every stage in the recipe's order."""
        self._timed("imports", self._import)
        self.models[BASE] = self._timed("base_model", self._base)
        if self.recipe.data.synthetic and self.recipe.data.synthetic.enabled:
            self._timed("synthetic_examples", self._synthetic)
        for step in self.recipe.training:
            data = self.recipe.datasets[step.data]
            if isinstance(data, OnPolicyPairs):
                self._timed(step.data, lambda data=data: self._candidates(data))
            self.models[step.name] = self._timed(f"{step.name}_model", lambda step=step: self._train(step))
        if self.recipe.merge:
            self.models["merged"] = self._timed("merged_model", self._merge)
        last = list(self.models)[-1]
        gguf = self._timed("gguf_model", lambda: self._quantize(self.models[last]))
        self._timed("evaluation_report", lambda: self._evaluate(gguf))

    def _timed(self, stage: str, work: Callable[[], Any]) -> Any:
        started = time.monotonic()
        made = work()
        self.seconds[stage] = round(time.monotonic() - started, 2)
        print(f"{stage}: {self.seconds[stage]} s", flush=True)
        return made

    def _table(self, asset: str, name: str) -> list[dict[str, Any]]:
        import pyarrow.parquet as pq

        artifact = self.store.current(f"{self.recipe.line}/{asset}")
        assert artifact is not None, f"{asset} is not there: run the line first"
        return pq.read_table(artifact.path(name)).to_pylist()

    def _import(self) -> None:
        import llama_cpp  # noqa: F401
        import peft  # noqa: F401
        import torch  # noqa: F401
        import trl  # noqa: F401

    def _base(self) -> Path:
        from kt_resources.bases.load import dequantize
        from kt_resources.bases.locate import locate

        folder, file = locate(self.recipe.base_model)  # type: ignore[arg-type]
        assert file is not None, "the plain script knows base models in GGUF alone"
        dequantize(folder, file, self.out / "base")
        return self.out / "base"

    def _train(self, step: Step) -> Path:
        from benchmarks.overhead.plain_training import train

        rows = self._table(step.data, "train.parquet")
        return train(step, self.models[step.start], rows, self.out / step.name)

    def _synthetic(self) -> None:
        """Let the base model answer fresh prompts after worked examples."""
        config = self.recipe.data.synthetic
        assert config is not None
        worked = [row for row in self._table("curated_examples", "examples.parquet") if row["completion"]]
        shown = [
            turn
            for row in worked[: config.few_shot]
            for turn in (*row["prompt"], {"role": "assistant", "content": row["completion"]})
        ]
        prompts = [[*shown, *row["prompt"]] for row in self._table("synthetic_examples", "prompts.parquet")]
        self._sample(BASE, prompts, config.num_samples, config.sampling)

    def _candidates(self, data: OnPolicyPairs) -> None:
        """Sample the policy's completions."""
        prompts = {json.dumps(row["prompt"]): row["prompt"] for row in self._pair_prompts()}
        self._sample(data.policy, list(prompts.values()), data.num_samples, data.sampling)

    def _sample(self, policy: str, prompts: Sequence[Any], num_samples: int, sampling: Sampling) -> None:
        """One completion after another, as llama-cpp-python makes them."""
        model = _llama(_export(self.models[policy], self.out / f"{policy}.gguf"))
        for prompt in prompts:
            for seed in range(num_samples):
                model.create_chat_completion(
                    prompt,
                    temperature=sampling.temperature,
                    top_p=sampling.top_p,
                    top_k=sampling.top_k,
                    max_tokens=sampling.max_new_tokens,
                    seed=seed,
                )

    def _pair_prompts(self) -> Iterator[Mapping[str, Any]]:
        names = {source.name for source in self.recipe.data.sources if source.purpose == "preference"}
        return (row for row in self._table("curated_examples", "examples.parquet") if row["source"] in names)

    def _merge(self) -> Path:
        import subprocess
        import sys

        import yaml

        from kt_resources.mergers.spec import MergeInput, MergeSpec

        merge = self.recipe.merge
        assert merge is not None
        target, inputs = self.out / "merged", [MergeInput(name=name, dir=self.models[name]) for name in merge.inputs]
        from kt_resources.mergers.merge import mergekit_configuration

        spec = MergeSpec(
            out_dir=target, scratch_dir=self.out, base_dir=self.models[merge.base], inputs=inputs, method=merge.method
        )
        file = self.out / "merge.yaml"
        file.write_text(yaml.safe_dump(mergekit_configuration(spec)))
        command = Path(sys.executable).with_name("mergekit-yaml")
        subprocess.run([str(command), str(file), str(target), "--copy-tokenizer"], check=True, capture_output=True)
        return target

    def _quantize(self, checkpoint: Path) -> Path:
        import ctypes

        import llama_cpp

        target, full = self.recipe.quantize.targets[0], _export(checkpoint, self.out / "full.gguf")
        params = llama_cpp.llama_model_quantize_default_params()
        params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{target.quant}")
        file = self.out / "quantized.gguf"
        status = llama_cpp.llama_model_quantize(str(full).encode(), str(file).encode(), ctypes.byref(params))
        assert status == 0, f"llama.cpp did not quantize: status {status}"
        return file

    def _evaluate(self, gguf: Path) -> None:
        prompts = [row["prompt"] for row in self._table("eval_tasks", "items.parquet")]
        longest = self.recipe.evaluate.max_new_tokens
        for checkpoint in self.models.values():
            _answers(checkpoint, prompts, longest)
        model = _llama(gguf)
        for prompt in prompts:
            model.create_chat_completion(prompt, temperature=0.0, max_tokens=longest)


def _export(checkpoint: Path, file: Path) -> Path:
    """llama.cpp's converter is in no wheel: the exporter is ours."""
    from kt_resources.quantizers.export import export_gguf

    export_gguf(checkpoint, file)
    return file


def _llama(file: Path) -> Any:
    import llama_cpp

    from kt_resources.generators.gguf_model import model_parameters

    llama_cpp.llama_cpp.llama_model_default_params = model_parameters  # as it comes it dies on AMX
    return llama_cpp.Llama(str(file), n_ctx=2048, verbose=False)


def _answers(checkpoint: Path, prompts: Sequence[Any], longest: int, batch: int = 16) -> None:
    """Greedy answers by transformers' ``generate``, a padded batch at a time."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint, padding_side="left")
    model: Any = AutoModelForCausalLM.from_pretrained(checkpoint)
    for start in range(0, len(prompts), batch):
        asked = prompts[start : start + batch]
        options = {"add_generation_prompt": True, "padding": True, "return_tensors": "pt", "return_dict": True}
        inputs = tokenizer.apply_chat_template(asked, **options)
        model.generate(**inputs, max_new_tokens=longest, do_sample=False)


def main() -> None:
    """Run the script on a line that the pipeline has run."""
    from kt_assets.cli.lines import find_line

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--line", required=True)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    script = PlainScript(find_line(options.line).recipe, Store(options.home / "store"), options.out)
    script.run()
    (options.out / "seconds.json").write_text(json.dumps(script.seconds, indent=2))


if __name__ == "__main__":
    main()
