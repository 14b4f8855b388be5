"""Found by processes that a program under `bulssi run` starts afresh: makes `import torch` give Bulssi in them, too."""

import importlib

from bulssi.cli.run import install

install()
importlib.import_module("torch")
