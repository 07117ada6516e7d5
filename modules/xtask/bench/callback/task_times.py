# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes how long each task took, from its start to the start of the next, in milliseconds, a line each."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: task_times
type: aggregate
short_description: How long each task took
description: Writes the milliseconds of each task to the file that TASK_TIMES names.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """The callback."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "task_times"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        """Begin with no task."""
        super().__init__()
        self.began: float | None = None
        self.times: list[float] = []

    def _next(self) -> None:
        now = time.monotonic()
        if self.began is not None:
            self.times.append((now - self.began) * 1000)
        self.began = now

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:  # noqa: FBT001
        """End the task before this one."""
        self._next()

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """End the last task, write all times."""
        self._next()
        Path(os.environ["TASK_TIMES"]).write_text("".join(f"{one:.3f}\n" for one in self.times))
