"""Model lines from raw rows to a GGUF. What is made and judged here can be so from the Dagster UI too: kt ui."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from kt_resources.compute.environment import be_quiet
from kt_resources.errors import KtError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
LineName = Annotated[str | None, typer.Argument(metavar="[LINE]", help="The model line; default: arithmetic.")]


@app.command()
def run(
    line: LineName = None,
    select: Annotated[
        str | None, typer.Option(help="Only these assets, comma-separated, where they are stale.")
    ] = None,
    allow_oversize: Annotated[
        bool, typer.Option("--allow-oversize", help="Train although the plan says that memory does not suffice.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make what is new or changed of a line, with its checks, and show how far it is."""
    from kt_assets.cli.run import run_command

    raise typer.Exit(run_command(line, select.split(",") if select else None, allow_oversize, as_json))


@app.command()
def plan(
    line: LineName = None,
    device: Annotated[str | None, typer.Option(help="cpu, rtx4090, a100-80gb ...; default: what is at hand.")] = None,
    model: Annotated[str | None, typer.Option(help="Plan as if the base model were of this published size.")] = None,
    prices: Annotated[Path | None, typer.Option(help="A price list of your own, YAML.")] = None,
    calibrate: Annotated[bool, typer.Option("--calibrate", help="Time this device anew.")] = False,
    suggest: Annotated[bool, typer.Option("--suggest", help="Propose a chain of steps for the line's rows.")] = False,
    goal: Annotated[
        str, typer.Option(help="Of --suggest: classification, extraction, chat, reasoning, expert or code.")
    ] = "chat",
    file: Annotated[
        list[Path] | None, typer.Option("--file", "-f", help="Of --suggest: rows of yours; writes their recipe.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="Of --file: the base model, as `kt init` takes it.")] = None,
    verifier: Annotated[str | None, typer.Option(help="Of --file: what judges answers, as `kt init` takes it.")] = None,
    to: Annotated[Path | None, typer.Option(help="Of --file: the folder of recipes.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Of --file: replace a recipe that is there.")] = False,
    wish: Annotated[str, typer.Option(help="Of --suggest: quality, fast, one_stage or all_weights.")] = "quality",
    as_json: Json = False,
) -> None:
    """What will run, with memory by part, time, disk and cost, stage by stage, before anything does."""
    if suggest and file:
        from kt_assets.cli.suggest_files import Asked, suggest_files_command

        asked = Asked(line, tuple(file), device, model, goal, wish, base, verifier, to, force)
        raise typer.Exit(suggest_files_command(asked, as_json))
    if file:
        raise typer.BadParameter("--file goes with --suggest, which writes a recipe for it; a line plans its own files")
    if suggest:
        from kt_assets.cli.suggest import suggest_command

        raise typer.Exit(suggest_command(line, device, model, goal, wish, as_json))
    from kt_assets.cli.plan import plan_command

    raise typer.Exit(plan_command(line, device, model, prices, calibrate, as_json))


@app.command()
def validate(
    line: LineName = None,
    resolved: Annotated[bool, typer.Option("--resolved", help="Print the recipe with every default.")] = False,
    as_json: Json = False,
) -> None:
    """Check the recipes: file:line of every mistake, what was given and what is allowed."""
    from kt_assets.cli.validate import validate_command

    raise typer.Exit(validate_command(line, resolved, as_json))


@app.command()
def init(
    line: Annotated[str | None, typer.Argument(metavar="[LINE]", help="Its name; default: the first file's.")] = None,
    file: Annotated[
        list[Path] | None, typer.Option("--file", "-f", help="Rows: .jsonl, .json, .csv, .parquet; may stand again.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="A checkpoint folder, a .gguf file, NAME/MODEL@COMMIT, smollm2 or random.")
    ] = None,
    verifier: Annotated[
        str | None, typer.Option(help="What answers are checked by: a type, rewards.py:score, or auto (the default).")
    ] = None,
    goal: Annotated[str | None, typer.Option(help="What the model is to do, in a sentence.")] = None,
    license: Annotated[str | None, typer.Option(help="The licence of the files.")] = None,
    to: Annotated[Path | None, typer.Option(help="Folder of recipes; default: KT_RECIPES, else ./recipes.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a recipe that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write a recipe for files of your own: it looks at them, chooses, and says why; asks on a terminal."""
    from kt_assets.cli.init import init_command
    from kt_assets.cli.init.command import Told

    told = Told(line, tuple(file or ()), base, verifier, goal, license, to, force)
    raise typer.Exit(init_command(told, as_json))


@app.command()
def ui(
    host: Annotated[
        str, typer.Option(help="Address to listen on; the default is reachable from here only.")
    ] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Port; default 3000, or a free one where that is taken.")] = None,
    token: Annotated[str, typer.Option(envvar="KT_UI_TOKEN", help="Ask every browser for this once.")] = "",
) -> None:
    """Open the Dagster UI, hardened, with the daemon that runs schedules."""
    from kt_assets.cli.ui import serve_ui
    from kt_resources.home import ensure_home

    serve_ui(ensure_home(), host, port, token)


@app.command()
def report(line: LineName = None, as_json: Json = False) -> None:
    """The figures of every model of the line, its checks and times, and where the HTML report lies."""
    from kt_assets.cli.report import report_command

    raise typer.Exit(report_command(line, as_json))


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="LINE, LINE@VERSION, VERSION, current or previous.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The same; differences are B - A.")],
    as_json: Json = False,
) -> None:
    """Two runs side by side: what changed in the recipe, in the data and, paired, in the figures."""
    from kt_assets.cli.compare import compare_command

    raise typer.Exit(compare_command(first, second, as_json))


@app.command()
def lineage(
    model: Annotated[
        str | None, typer.Argument(help="LINE/ASSET or ASSET, of any @VERSION: which rows made it?")
    ] = None,
    row: Annotated[str | None, typer.Option(help="A row's id: which models saw it?")] = None,
    rows: Annotated[bool, typer.Option("--rows", help="List every source row.")] = False,
    as_json: Json = False,
) -> None:
    """Walk from a model to its source rows, or from a row to the models that saw it."""
    from kt_assets.cli.lineage import model_command, row_command

    if (model is None) == (row is None):
        raise typer.BadParameter("give a MODEL, or --row ID")
    raise typer.Exit(row_command(row, as_json) if row else model_command(model or "", rows, as_json))


@app.command()
def chat(
    line: LineName = None,
    model: Annotated[str, typer.Option(help="The asset to talk to beside the base model.")] = "gguf_model",
    prompt: Annotated[str | None, typer.Option(help="Ask this one question and end.")] = None,
    as_json: Json = False,
) -> None:
    """Talk to the base model and the tuned one side by side."""
    from kt_assets.cli.chat import chat_command

    raise typer.Exit(chat_command(line, model, prompt, as_json))


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check the store: damaged artifacts, half-made ones, and whether Dagster knows what is current."""
    from kt_assets.cli.doctor import doctor_command

    raise typer.Exit(doctor_command(as_json))


def main() -> None:
    """Entry point: a person's mistake ends in its message and exit code 1, without a stack trace."""
    be_quiet()
    try:
        app()
    except KtError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        from kt_resources.home import resolve_root
        from kt_resources.store.full_disk import full_disk

        if full := full_disk(error, resolve_root()):
            print(full, file=sys.stderr)
            sys.exit(1)
        raise


if __name__ == "__main__":
    main()
