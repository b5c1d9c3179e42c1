"""A code location of one asset, for the tests of the UI server."""

import time

import dagster as dg


@dg.asset
def toy() -> None:
    print("toy", flush=True)


@dg.asset
def endless() -> None:
    time.sleep(600)


defs = dg.Definitions(assets=[toy, endless])
