"""How many rows of a line's files are longer than the recipe lets them be: these are left out, never cut."""

from kt_assets.line import Line
from kt_assets.plan.glance import Sources
from kt_resources.errors import DataError
from kt_resources.recipes.data import FileSource


def rows_left_out(line: Line) -> list[str]:
    """A sentence for each file and limit that leaves rows out, as estimated from the file's first rows."""
    recipe, sources = line.recipe, Sources(line.recipe.data, line.folder)
    most = recipe.data.curation.max_tokens
    limits = [
        (f"datasets.{name}.max_seq_len", dataset.max_seq_len, tuple(dataset.weights))
        for name, dataset in recipe.datasets.items()
        if dataset.type == "mix" and dataset.max_seq_len < most
    ]
    files = tuple(source.name for source in recipe.data.sources if isinstance(source, FileSource))
    found = []
    for what, limit, names in [("data.curation.max_tokens", most, files), *limits]:
        found += [told for name in files if name in names and (told := _told(sources, name, what, limit))]
    return found


def _told(sources: Sources, name: str, what: str, limit: int) -> str | None:
    try:
        lengths = sources.glance(name).lengths
    except DataError:  # a file that cannot be read is told by what reads it
        return None
    longer = sum(sum(tokens) > limit for tokens in lengths)
    if not longer:
        return None
    of = "" if sources.num_rows(name) == len(lengths) else " first"
    return (
        f"{name}: about {longer} of the{of} {len(lengths)} rows have more tokens than {what}: {limit}, and are left out"
    )
