"""What a person sees while a model trains."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from tqdm.auto import tqdm

logger = logging.getLogger(__name__)


class Progress:
    """A bar on a terminal or in a notebook, a log line per epoch elsewhere, or nothing.

    Parameters
    ----------
    show: bool, optional
        None shows a bar where a person sees it, on a terminal or in an interactive
        session such as a notebook, and logs elsewhere;
        True shows a bar anyhow; False is silent
    total: int, optional
        steps to come, where it is known
    done: int
        steps done before, by the run that is resumed
    """

    def __init__(self,
                 show: bool | None,
                 total: int | None = None,
                 done: int = 0) -> None:
        seen = sys.stderr.isatty() or hasattr(sys, "ps1")
        self._logs = show is None and not seen
        self._bar = tqdm(total=total,
                         initial=done,
                         unit="step",
                         disable=not (seen if show is None else show),
                         dynamic_ncols=True)
        self._notes: dict[str, str] = {}
        self._left = None if total is None else total - done
        self._graphs = self._steps = 0
        self._since = self._shown = time.perf_counter()

    def step(self, graphs: int) -> bool:
        """A step is done; returns whether the bar could show a fresh loss now."""
        self._graphs += graphs
        self._steps += 1
        self._bar.update(1)
        return (not self._bar.disable and
                time.perf_counter() - self._shown > 0.5)

    def show(self, **notes: Any) -> None:
        """Numbers to stand beside the bar."""
        self._shown = time.perf_counter()
        for name, value in notes.items():
            self._notes[name] = f"{value:.4g}" if isinstance(
                value, float) else str(value)
        self._notes["graphs/s"] = f"{self._rate(self._graphs):.0f}"
        self._bar.set_postfix(self._notes)

    def epoch(self, record: dict[str, Any]) -> None:
        """An epoch is done."""
        self.show(
            **{
                name: value
                for name, value in record.items()
                if name in ("epoch", "loss", "valid")
            })
        if self._logs:
            said = [
                f"{name} {value:.4g}" for name, value in record.items()
                if isinstance(value, float)
            ]
            said.append(f"{self._rate(self._graphs):.0f} graphs/s")
            if self._left is not None:
                seconds = (self._left - self._steps) / self._rate(self._steps)
                said.append(f"{max(seconds, 0):.0f} s left")
            logger.info("epoch %d: %s", record["epoch"], ", ".join(said))

    def close(self) -> None:
        """Leave the last state of the bar on the screen."""
        self._bar.close()

    def _rate(self, count: int) -> float:
        """Per second since the start, validation included."""
        return max(count, 1e-9) / max(time.perf_counter() - self._since, 1e-9)
