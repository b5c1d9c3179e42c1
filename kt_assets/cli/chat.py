"""``kt chat``: the base model and a tuned one answer side by side."""

from collections.abc import Callable
from contextlib import ExitStack, closing

from rich.columns import Columns
from rich.console import Console
from rich.panel import Panel

from kt_assets.cli.lines import find_line
from kt_assets.cli.output import print_json
from kt_assets.line import Line
from kt_resources.errors import StoreError
from kt_resources.generators.config import Sampling
from kt_resources.generators.engine import ScoringEngine
from kt_resources.home import Home, ensure_home
from kt_resources.recipes.base_model import BASE
from kt_resources.store.store import SHORT, Artifact, Store

Ask = Callable[[list[dict[str, str]]], str]


def chat_command(name: str | None, model: str, prompt: str | None, as_json: bool) -> int:
    """Ask both models one ``prompt``, or each line that a person types, until an empty one."""
    line, home = find_line(name), ensure_home()
    store = Store(home.store)
    with ExitStack() as stack:
        models = {asset: _open(stack, home, line, store, asset) for asset in (BASE, model)}
        if prompt is not None:
            answers = {asset: ask(_turns(line, [], prompt)) for asset, ask in models.items()}
            if as_json:
                print_json({"prompt": prompt, "answers": answers})
            else:
                _show(answers)
            return 0
        _converse(line, models)
    return 0


def _converse(line: Line, models: dict[str, Ask]) -> None:
    """Each model keeps its own conversation; an empty line ends it."""
    Console().print(f"[dim]{' | '.join(models)} · an empty line ends the talk[/]")
    said: dict[str, list[dict[str, str]]] = {asset: [] for asset in models}
    while typed := _read():
        answers = {}
        for asset, ask in models.items():
            turns = _turns(line, said[asset], typed)
            answers[asset] = ask(turns)
            said[asset] = [*turns, {"role": "assistant", "content": answers[asset]}]
        _show(answers)


def _open(stack: ExitStack, home: Home, line: Line, store: Store, asset: str) -> Ask:
    engine = stack.enter_context(closing(_engine(home, store, _model(line, store, asset))))
    sampling = Sampling(temperature=0.0, max_new_tokens=256)
    return lambda turns: engine.generate([turns], 1, sampling)[0][0].text


def _engine(home: Home, store: Store, artifact: Artifact) -> ScoringEngine:
    """The engine of a checkpoint, a GGUF, or an adapter that could not be merged into its start."""
    from kt_resources.generators.open_engine import open_adapted, open_engine

    if artifact.manifest.facts.get("adapter_only"):
        start = store.parent(artifact, "start").path("model")
        return open_adapted(start, artifact.path("adapter"), batch_size=1)
    gguf = artifact.folder / "model.gguf"
    cache = home.root / "chat" / artifact.data_version[:SHORT]
    cache.mkdir(parents=True, exist_ok=True)
    return open_engine(gguf if gguf.exists() else artifact.path("model"), scratch_dir=cache)


def _model(line: Line, store: Store, asset: str) -> Artifact:
    scorers = {step.asset for step in line.recipe.training if line.recipe.makes_scorer(step.name)}
    there = [name for name in line.stages if name.endswith("_model") and name not in scorers]
    if asset not in there:
        what = "is a reward model: it scores answers and gives none" if asset in scorers else "is no model of the line"
        raise StoreError(f"{asset!r} {what}", where=f"--model of {line.name}", mend=f"there are: {', '.join(there)}")
    artifact = store.current(line.stages[asset].asset)
    if artifact is None:
        raise StoreError("has not been made", where=f"{line.name}/{asset}", mend=f"kt run {line.name}")
    return artifact


def _turns(line: Line, before: list[dict[str, str]], typed: str) -> list[dict[str, str]]:
    """The conversation with what was typed; it opens with the system message that the line is evaluated with."""
    system = line.recipe.system
    opening = [{"role": "system", "content": system}] if system and not before else []
    return [*opening, *before, {"role": "user", "content": typed}]


def _read() -> str:
    try:
        return input("› ").strip()
    except EOFError:
        return ""


def _show(answers: dict[str, str]) -> None:
    panels = [Panel(answer or "(nothing)", title=asset, width=56) for asset, answer in answers.items()]
    Console().print(Columns(panels))
