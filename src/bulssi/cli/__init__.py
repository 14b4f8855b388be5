"""The command `bulssi`: run, demo, info."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from bulssi import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bulssi", description="Bulssi runs PyTorch programs.", epilog="bulssi COMMAND --help tells more."
    )
    parser.add_argument("--version", action="version", version=f"bulssi {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    run = commands.add_parser(
        "run",
        help="run a PyTorch script with `torch` meaning Bulssi",
        usage="bulssi run [-h] (SCRIPT | -m MODULE) [ARGS ...]",
        description="Runs a script or a module as python does, with `import torch` and `import torch.…` giving Bulssi.",
    )
    run.add_argument("-m", dest="is_module", action="store_true", help="run a module by its name, as `python -m` does")
    run.add_argument("script", metavar="SCRIPT", help="the script, or with -m the name of the module")
    run.add_argument("args", metavar="ARGS", nargs=argparse.REMAINDER, help="the program's own arguments")

    demo = commands.add_parser(
        "demo",
        help="train a small network on real handwritten digits",
        description="Trains a small convolutional network on 1,797 handwritten digits, of which 360 are held out, and "
        "writes a checkpoint, a learning curve and a confusion table.",
    )
    demo.add_argument("--epochs", type=_positive, default=12, help="passes over the data (default 12)")
    demo.add_argument("--seed", type=int, default=0, help="of all random numbers (default 0)")
    demo.add_argument("--out", default="bulssi-demo", metavar="DIR", help="folder for what is written (bulssi-demo)")
    demo.add_argument("--no-plots", action="store_true", help="write no pictures and draw none in the terminal")

    commands.add_parser(
        "info",
        help="version, build, instruction set, threads, optional packages",
        description="Tells what this installation is: version, build, instruction set, threads and why so many, "
        "optional packages found.",
    )
    return parser


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a positive number")
    return value


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code: 0 well, 1 the program failed, 2 wrong usage, 130 interrupted."""
    options = _parser().parse_args(argv)
    try:
        if options.command == "run":
            from bulssi.cli.run import run, run_module

            return (run_module if options.is_module else run)(options.script, options.args)
        if options.command == "demo":
            from bulssi.cli.demo import demo

            return demo(options.epochs, options.seed, options.out, not options.no_plots)
        from bulssi.cli.info import info

        return info()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        sys.stderr.close()
        return 1
