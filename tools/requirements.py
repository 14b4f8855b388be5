"""Print the requirements that pyproject.toml lists under the given names, one per line.

`build` stands for `build-system.requires`; any other name is a group of `[dependency-groups]` (PEP 735).
pip understands groups only from version 25.1 on, and a fresh virtual environment often has an older one.

    python tools/requirements.py build test
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:  # Python 3.10 has no tomllib, but its pip always brings one along
    from pip._vendor import tomli as tomllib


def requirements(project: dict[str, Any], name: str) -> list[str]:
    """Requirement strings of one group, with the groups it includes."""
    if name == "build":
        return project["build-system"]["requires"]
    found: list[str] = []
    for entry in project["dependency-groups"][name]:
        found += [entry] if isinstance(entry, str) else requirements(project, entry["include-group"])
    return found


def main() -> None:
    path = Path(__file__).parent.parent / "pyproject.toml"
    project = tomllib.loads(path.read_text(encoding="utf-8"))
    for name in sys.argv[1:]:
        print("\n".join(requirements(project, name)))


if __name__ == "__main__":
    main()
