"""``kt init``: a person's files become a recipe that runs."""

from kt_assets.cli.init.command import init_command

__all__ = ["init_command"]
