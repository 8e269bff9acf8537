"""The ``tracejit`` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from tracejit.tools.demo.run import add_arguments, demo
from tracejit.tools.ops_table import show_table

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process if not given.

    Returns
    -------
    int
        The exit status: 0, 2 for input that cannot be used, or 130 if interrupted.
    """
    parser = argparse.ArgumentParser(
        prog="tracejit", description="Traces, transforms and compiles NumPy programs."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    summary = "a tsunami over real bathymetry, forward and differentiated"
    add_arguments(commands.add_parser("demo", help=summary, description=summary.capitalize()))
    summary = "every primitive, and which interpretations have a rule for it"
    table = commands.add_parser("ops", help=summary, description=summary.capitalize())
    table.add_argument("--reasons", action="store_true", help="say why a rule is missing")
    options = parser.parse_args(argv)
    if options.command == "ops":
        print(show_table(options.reasons))
        return 0
    try:
        return demo(options)
    except KeyboardInterrupt:
        print("\ntracejit: interrupted", file=sys.stderr)
        return 130
