"""The page of all cells."""

from collections.abc import Sequence

from benchmarks.matrix.axes import AIMS, LEARNING_RATE, LEARNING_RATES, LONGER, SAMPLED, STEPS
from benchmarks.matrix.cell import TOLERANCE, Outcome

HEAD = """# Every objective with every update strategy

Made by `make matrix`. Each cell adapts a Llama of 0.2 M parameters, pretrained for some seconds to answer sums in
several ways (`benchmarks/matrix/pretraining.py`: the head of a random model, which adapters leave alone, could not
express an answer), through the training program's own code, in float32: {steps} steps of 8 rows at a learning rate of
{rate} ({rates}); online objectives {online} steps of 32 completions at {share} of the rate. More steps take:
{longer}.

A cell counts where the held-out figure improved by the amount fixed for its objective, the saved model, loaded anew,
gives the trained one's logits, and the merged model, where there is one, gives the adapter's, both within {tolerance}.
The number is the gain: of held-out loss, of the share of pairs that a reward model orders rightly, or of the mean
reward of answers drawn to held-out prompts. ✗ is a cell that did not get there, — one that is refused, · one that was
not tried.

"""


def page(outcomes: Sequence[Outcome], objectives: Sequence[str], updates: Sequence[str]) -> str:
    """Markdown: the matrix, then the reason of each cell that is not a number."""
    cells = {(outcome.objective, outcome.update): outcome for outcome in outcomes}
    notes: list[str] = []
    rows = ["| objective | must gain | " + " | ".join(updates) + " |", "|---|---:|" + "---:|" * len(updates)]
    for objective in objectives:
        row = [cells.get((objective, update)) for update in updates]
        shown = [_shown(outcome, notes) if outcome else "·" for outcome in row]
        rows.append(f"| {objective} | {AIMS[objective].amount:g} | " + " | ".join(shown) + " |")
    rates = ", ".join(f"{update}: {rate:g}" for update, rate in LEARNING_RATES.items())
    longer = ", ".join(f"{update} {times} times as many" for update, times in LONGER.items())
    numbers = {"steps": STEPS, "rate": LEARNING_RATE, "tolerance": TOLERANCE}
    numbers |= {"online": SAMPLED.steps, "share": SAMPLED.rate}
    notes = [f"{number}. {note}" for number, note in enumerate(notes, start=1)]
    head = HEAD.format(rates=rates, longer=longer, **numbers)
    return head + "\n".join([*rows, "", *notes]).rstrip() + "\n"


def _shown(outcome: Outcome, notes: list[str]) -> str:
    if outcome.status == "learned":
        return f"{_gain(outcome):.2g}"
    told = outcome.reason or f"from {outcome.start:.4g} to {outcome.final:.4g}"
    refused = outcome.status == "refused"
    cell = outcome.update if refused else f"{outcome.objective} with {outcome.update}"
    note = f"{cell}: {outcome.status}: {told}"
    if note not in notes:
        notes.append(note)
    return f"{'—' if refused else '✗'} [{notes.index(note) + 1}]"


def _gain(outcome: Outcome) -> float:
    return abs((outcome.final or 0.0) - (outcome.start or 0.0))
