# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the collection importable by its full name from a checkout too."""

import sys
from pathlib import Path
from types import ModuleType

COLLECTION = Path(__file__).resolve().parents[2]

if "ansible_collections" not in COLLECTION.parts:
    for name, folders in (
        ("ansible_collections", []),
        ("ansible_collections.sddc", []),
        ("ansible_collections.sddc.pve", [str(COLLECTION)]),
    ):
        package = ModuleType(name)
        package.__path__ = folders
        sys.modules.setdefault(name, package)
