"""The claims benchmark: cells are trainings that load, verdicts follow from the figures, a partial set says so."""

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.claims.cells import CELLS
from benchmarks.claims.page import page
from benchmarks.claims.run import drop_and_rescale, trainable_share
from benchmarks.claims.verdicts import CLAIMS, Claim, judge
from kt_resources.trainers.objectives import OBJECTIVES
from kt_resources.trainers.updates import UPDATES


def _claim(low: float, high: float = 10.0) -> Claim:
    return Claim("words", "source", "measured", ("a",), lambda cells: cells["a"]["x"], low, high)


def _seeds(*values: float) -> list[dict[str, dict[str, float]]]:
    return [{"a": {"x": value}} for value in values]


@pytest.mark.parametrize(
    ("low", "verdict"),
    # mean 2.0, standard deviation 0.1, half-width 4.30 · 0.1 / √3 = 0.25: the interval is 1.75 to 2.25
    [(1.7, "holds here"), (2.0, "cannot be told at this size"), (2.3, "does not hold here")],
)
def test_a_verdict_asks_where_the_whole_interval_lies(low: float, verdict: str) -> None:
    assert judge(_claim(low), _seeds(1.9, 2.0, 2.1), wanted=3)[0] == verdict


def test_too_few_seeds_give_no_verdict() -> None:
    assert judge(_claim(1.0), [*_seeds(2.0), {}, {}], wanted=3) == ("not run yet", "1 of 3 seeds: 2.00")


def test_seconds_of_two_processors_are_not_compared() -> None:
    claim = next(claim for claim in CLAIMS if claim.words.startswith("Spectrum trains"))
    one = {"tokens_per_s": 90.0, "host": "a", "threads": 1}
    others = ({"host": "b"}, {"threads": 2}, {"host": None})
    seeds = [{"spectrum": one, "full": one}, *({"spectrum": one, "full": one | other} for other in others)]
    assert judge(claim, seeds, wanted=4) == ("ran on several processors", "1 of 4 seeds: 1.00")
    assert judge(claim, seeds[:3], wanted=4)[0] == "not run yet"


def test_claims_and_cells_name_what_there_is() -> None:
    cells = {cell.name for cell in CELLS}
    assert {name for claim in CLAIMS for name in claim.cells} == cells
    for cell in CELLS:
        assert cell.start is None or cell.start in cells
        OBJECTIVES[cell.objective["type"]].model_validate(cell.objective)
        if cell.update["type"] in UPDATES:
            UPDATES[cell.update["type"]].model_validate(cell.update)


def _result(**figures: Any) -> dict[str, Any]:
    return {
        "accuracy": 0.4,
        "steps": 100,
        "trainable_share": 0.036,
        "peak_memory_gb": 2.0,
        "losses": {"0": 1.2, "100": 0.4},
    } | figures


def test_a_partial_page_says_what_has_not_run() -> None:
    found = [{"lora": _result(tokens_per_s=250.0, train_s=260.0)}, {}, {}]
    text = page(found)
    assert f"**1 of {3 * len(CELLS)} cells have run.**" in text
    assert "| lora | 1 | 3.60% | 2.00 | 250 | 260 | 0.400 | 40.0% (40%) |" in text
    assert "| dora | not run yet | | | | | | |" in text
    assert "1 of 3 seeds: 3.60% | not run yet |" in text


def test_a_seed_that_ran_on_two_kinds_of_processor_says_so() -> None:
    one, other = _result(host="a"), _result(host="b")
    assert "more than one kind" not in page([{"lora": one, "full": one}, {"lora": other}, {}])
    assert "Cells of seed 1 ran on" in page([{"lora": one}, {"lora": one, "full": other}, {}])


def test_dare_keeps_a_share_of_the_differences_and_rescales_them(tiny_model_dir: Path, tmp_path: Path) -> None:
    from kt_resources.trainers.saving import read_tensor, save_model, tensors

    base = {name: read_tensor(file, name) for name, file in tensors(tiny_model_dir).items()}
    save_model({name: tensor + 0.25 for name, tensor in base.items()}, tiny_model_dir, tmp_path / "trained")
    drop_and_rescale(tiny_model_dir, tmp_path / "trained", tmp_path / "dropped", drop=0.9, seed=0)
    moved = [read_tensor(file, name) - base[name] for name, file in tensors(tmp_path / "dropped").items()]
    flat = torch.cat([tensor.flatten() for tensor in moved])
    kept = flat.abs() > 1e-3
    assert torch.allclose(flat[kept], torch.tensor(2.5), atol=1e-4)  # 0.25 / (1 − 0.9)
    assert abs(kept.float().mean().item() - 0.1) < 0.01


def test_a_trainable_share_counts_the_tensors_that_moved(tiny_model_dir: Path, tmp_path: Path) -> None:
    from kt_resources.trainers.saving import read_tensor, save_model, tensors

    weights = {name: read_tensor(file, name) for name, file in tensors(tiny_model_dir).items()}
    moved = next(name for name in weights if "up_proj" in name)
    total = sum(tensor.numel() for tensor in weights.values())
    save_model(weights | {moved: weights[moved] + 1}, tiny_model_dir, tmp_path / "model")
    assert trainable_share(tiny_model_dir, tmp_path, tmp_path / "kept") == weights[moved].numel() / total


def test_of_an_adapter_it_counts_what_was_trained(tiny_model_dir: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from kt_resources.trainers.saving import read_tensor, tensors

    (tmp_path / "adapter").mkdir()
    (tmp_path / "kept").mkdir()
    trained = {"q_proj.lora_A.weight": torch.ones(2, 8), "q_proj.vera_A": torch.ones(100)}  # 16 trained, 100 frozen
    save_file(trained, tmp_path / "kept" / "adapter_model.safetensors")
    total = sum(read_tensor(file, name).numel() for name, file in tensors(tiny_model_dir).items())
    assert trainable_share(tiny_model_dir, tmp_path, tmp_path / "kept") == 16 / total


def test_a_model_trained_again_takes_what_was_made_of_it_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.claims import run

    trained: list[str] = []
    monkeypatch.setattr(run, "run_cell", lambda cell, *_: trained.append(cell.name))
    for name in ("lora", "dare_90_lora", "dare_90_full", "orpo"):
        file = run.result_file(tmp_path, name, 1)
        file.parent.mkdir(parents=True)
        file.write_text("{}")
    run._model_of("lora", 1, tmp_path, tmp_path, 100)
    assert trained == ["lora"]
    assert {file.parent.name for file in tmp_path.rglob("1.json")} == {"dare_90_full", "orpo"}
    (run.result_file(tmp_path, "lora", 1).parent / "1" / "out" / "model").mkdir(parents=True)
    run.result_file(tmp_path, "dare_90_lora", 1).write_text("{}")
    run._model_of("lora", 1, tmp_path, tmp_path, 100)
    assert run.result_file(tmp_path, "dare_90_lora", 1).is_file()
