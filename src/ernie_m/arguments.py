"""One look for the help of all commands."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any


def argument_parser(prog: str, about: str | None, **more: Any) -> ArgumentParser:
    """A parser whose help shows ``about``, as a rule the module's docstring, line by line."""
    return ArgumentParser(
        prog=prog, description=about, formatter_class=RawDescriptionHelpFormatter, **more
    )
