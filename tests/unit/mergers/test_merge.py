"""mergekit's arithmetic on a tiny model, against numbers worked out here."""

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kt_resources.compute.needs import Needs
from kt_resources.compute.program import Progress
from kt_resources.errors import MergeError
from kt_resources.mergers.fake import FakeMerger
from kt_resources.mergers.measure import relative_distance
from kt_resources.mergers.merge import merge
from kt_resources.mergers.protocol import Merger
from kt_resources.mergers.spec import MergeSpec

NAME = "model.layers.0.mlp.down_proj.weight"
FIRST = [0.4, -0.2, 0.1, 0.3]
SECOND = [0.2, 0.3, -0.4, 0.1]
"""Task vectors of the two experts on the first four entries of the tensor; everywhere else they are the base."""


@pytest.fixture
def expert(tiny_model_dir: Path, tmp_path: Path) -> Callable[[str, list[float]], Path]:
    """Write an expert: the base with a task vector added to the first entries of one tensor."""
    from safetensors.numpy import load_file, save_file

    def make(name: str, vector: list[float]) -> Path:
        folder = tmp_path / name
        shutil.copytree(tiny_model_dir, folder)
        weights = load_file(folder / "model.safetensors")
        weights[NAME].reshape(-1)[: len(vector)] += np.array(vector, np.float32)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return make


@pytest.fixture
def merged(tiny_model_dir: Path, tmp_path: Path, expert: Any) -> Callable[..., np.ndarray]:
    """Merge the two experts and give the merged task vector of the tensor's first four entries."""

    def run(method: Any) -> np.ndarray:
        spec = spec_for(tmp_path, tiny_model_dir, expert("one", FIRST), expert("two", SECOND), method)
        merge(spec, Progress(spec.out_dir))
        return task_vector(tiny_model_dir, spec.out_dir / "model")

    return run


def spec_for(folder: Path, base: Path, one: Path, two: Path, method: Any) -> MergeSpec:
    return MergeSpec.model_validate(
        {
            "out_dir": folder / "out",
            "scratch_dir": folder / "scratch",
            "base_dir": base,
            "inputs": [{"name": "one", "dir": one}, {"name": "two", "dir": two}],
            "method": method,
            "probe_prompts": [[{"role": "user", "content": "What is 2 + 2?"}]],
            "max_new_tokens": 4,
        }
    )


def task_vector(base: Path, folder: Path) -> np.ndarray:
    from safetensors.numpy import load_file

    before, after = (load_file(path / "model.safetensors") for path in (base, folder))
    assert set(before) == set(after)
    changed = [name for name in before if not np.allclose(before[name], after[name], atol=1e-6)]
    assert changed in ([NAME], [])
    vector = (after[NAME] - before[NAME]).reshape(-1)
    assert np.abs(vector[4:]).max() < 1e-6
    return vector[:4]


SIZE = 64 * 192
"""Entries of the tensor: a density of d keeps the int(d · SIZE) largest of them."""

CASES: dict[str, tuple[Any, list[float]]] = {
    # (0.4+0.2)/2, (-0.2+0.3)/2, (0.1-0.4)/2, (0.3+0.1)/2
    "linear": ("linear", [0.3, 0.05, -0.15, 0.2]),
    # (3·first + second) / 4
    "linear, weighted": ({"method": "linear", "weights": {"one": 3}}, [0.35, -0.075, -0.025, 0.25]),
    # ½ (first + second)
    "task arithmetic": ({"method": "task_arithmetic", "lambda": 0.5}, [0.3, 0.05, -0.15, 0.2]),
    # trim nothing; elect signs of the sums (0.6, 0.1, -0.3, 0.4) → + + − +; mean of those that agree:
    # (0.4+0.2)/2, 0.3, -0.4, (0.3+0.1)/2
    "ties": ({"method": "ties", "density": 1}, [0.3, 0.3, -0.4, 0.2]),
    # the same, agreeing entries added instead of averaged
    "ties, sum": ({"method": "ties", "density": 1, "normalize": False}, [0.6, 0.3, -0.4, 0.4]),
    # trim to the two largest: first → (0.4, 0, 0, 0.3), second → (0, 0.3, -0.4, 0); each sign has one voter
    "ties, trimmed": ({"method": "ties", "density": 2.5 / SIZE}, [0.4, 0.3, -0.4, 0.3]),
    # as before with λ = 2 and the second input weighing half: signs stay, a lone voter's mean is its own entry
    "ties, weights and lambda": (
        {"method": "ties", "density": 2.5 / SIZE, "weights": {"two": 0.5}, "lambda": 2},
        [0.8, 0.6, -0.8, 0.6],
    ),
    # DARE that drops nothing is task arithmetic
    "dare, nothing dropped": ({"method": "dare_linear", "density": 1}, [0.6, 0.1, -0.3, 0.4]),
    "slerp at its first end": ({"method": "slerp", "t": 0}, FIRST),
    "slerp at its second end": ({"method": "slerp", "t": 1}, SECOND),
}


@pytest.mark.parametrize("case", CASES)
def test_arithmetic(case: str, merged: Callable[..., np.ndarray]) -> None:
    method, expected = CASES[case]
    np.testing.assert_allclose(merged(method), expected, atol=1e-5)


def test_dare_drops_at_random_by_its_seed(merged: Callable[..., np.ndarray], tmp_path: Path) -> None:
    def again(seed: int) -> list[float]:
        for name in ("one", "two", "out"):
            shutil.rmtree(tmp_path / name, ignore_errors=True)
        return merged({"method": "dare_linear", "density": 0.5, "seed": seed}).tolist()

    results = {seed: again(seed) for seed in range(4)}
    assert again(0) == results[0]
    assert len({tuple(result) for result in results.values()}) > 1


def test_facts_and_form(tiny_model_dir: Path, tmp_path: Path, expert: Any) -> None:
    spec = spec_for(tmp_path, tiny_model_dir, expert("one", FIRST), expert("two", SECOND), "linear")
    facts = merge(spec, Progress(spec.out_dir))
    same = ["tokenizer_identical", "chat_template_identical", "tied_embeddings_survive", "finite"]
    assert all(facts[name] is True for name in same)
    # ‖(0.3, 0.05, -0.15, 0.2) - FIRST‖ = ‖(0.1, -0.25, 0.25, 0.1)‖
    gap = math.sqrt(0.1**2 + 0.25**2 + 0.25**2 + 0.1**2)
    assert facts["distance_to_one"] == pytest.approx(gap / norm(tmp_path / "one"), rel=1e-4)
    assert facts["delta_norm_relative"] > 0
    assert json.loads((spec.out_dir / "facts.json").read_text()) == facts
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "config.json"):
        assert (spec.out_dir / "model" / file).read_bytes() == (tiny_model_dir / file).read_bytes()


def norm(folder: Path) -> float:
    from safetensors.numpy import load_file

    return math.sqrt(
        sum(float((array.astype(np.float64) ** 2).sum()) for array in load_file(folder / "model.safetensors").values())
    )


def test_a_merge_that_composes_nothing_shows(tiny_model_dir: Path, tmp_path: Path, expert: Any) -> None:
    spec = spec_for(tmp_path, tiny_model_dir, expert("one", FIRST), expert("two", SECOND), {"method": "slerp", "t": 0})
    assert merge(spec, Progress(spec.out_dir))["min_distance_to_input"] < 1e-7
    shutil.rmtree(spec.out_dir)
    same = spec_for(tmp_path, tiny_model_dir, expert("idle", []), expert("idle_too", []), "linear")
    assert merge(same, Progress(same.out_dir))["delta_norm_relative"] == 0


def test_distance_between_different_shapes_is_infinite(tiny_model_dir: Path, expert: Any) -> None:
    from safetensors.numpy import load_file, save_file

    folder = expert("cut", [])
    weights = load_file(folder / "model.safetensors")
    save_file(weights | {NAME: weights[NAME][:, :5].copy()}, folder / "model.safetensors", metadata={"format": "pt"})
    assert relative_distance(tiny_model_dir, folder) == math.inf


def test_another_vocabulary_is_told_by_name(tiny_model_dir: Path, tmp_path: Path, expert: Any) -> None:
    two = expert("two", SECOND)
    config = json.loads((two / "config.json").read_text())
    (two / "config.json").write_text(json.dumps(config | {"vocab_size": config["vocab_size"] + 8}))
    spec = spec_for(tmp_path, tiny_model_dir, expert("one", FIRST), two, "linear")
    with pytest.raises(MergeError, match=r"input two: differs from the base model: vocab_size"):
        merge(spec, Progress(spec.out_dir))


def test_entry_point(tiny_model_dir: Path, tmp_path: Path, expert: Any) -> None:
    spec = spec_for(
        tmp_path, tiny_model_dir, expert("one", FIRST), expert("two", SECOND), {"method": "ties", "density": 1}
    )
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    command = [sys.executable, "-m", "kt_resources.mergers", "--spec", str(tmp_path / "spec.json")]
    subprocess.run(command, check=True, capture_output=True)
    np.testing.assert_allclose(task_vector(tiny_model_dir, spec.out_dir / "model"), [0.3, 0.3, -0.4, 0.2], atol=1e-5)
    assert json.loads((spec.out_dir / "run" / "result.json").read_text())["method"] == "ties"


def test_the_fake_obeys_the_protocol(tiny_model_dir: Path, tmp_path: Path, expert: Any) -> None:
    spec = spec_for(tmp_path, tiny_model_dir, expert("one", FIRST), expert("two", SECOND), "linear")
    fake = FakeMerger()
    assert isinstance(fake, Merger)
    fake.merge(spec, Needs())
    np.testing.assert_allclose(task_vector(tiny_model_dir, spec.out_dir / "model"), [0.3, 0.05, -0.15, 0.2], atol=1e-5)
