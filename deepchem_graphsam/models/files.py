"""Files that are whole or absent, and never run code when read."""

from __future__ import annotations

import io
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch


@contextmanager
def atomic_write(path: Path | str) -> Iterator[IO[bytes]]:
    """Open a file that appears under its name when it is complete, or never.

    Parameters
    ----------
    path: path-like
        where it goes; the folder is made if it is missing

    Raises
    ------
    OSError
        if the folder cannot be written or the disk is full; the message names
        the path, and what stood there before still stands

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with atomic_write(f"{folder}/a.txt") as file:
    ...     _ = file.write(b"whole")
    >>> os.listdir(folder)
    ['a.txt']
    """
    path = Path(path)
    # Not tempfile's, which only its owner may read, ever after.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror}") from error
    finally:
        with suppress(OSError):  # it is not there
            temporary.unlink()


def write_tensors(path: Path | str, content: Any) -> None:
    """Write tensors, numbers, strings, lists and dicts, atomically."""
    # By way of memory: torch's own writer does not say that a disk is full.
    buffer = io.BytesIO()
    torch.save(_plain(content), buffer)
    with atomic_write(path) as file:
        file.write(buffer.getbuffer())


def _plain(content: Any) -> Any:
    """Without NumPy scalars, which ``weights_only`` refuses: a learning rate, say."""
    if isinstance(content, np.generic):
        return content.item()
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_plain(value) for value in content]
    return content


def read_tensors(path: Path | str,
                 device: torch.device | str | None = None) -> Any:
    """Read what `write_tensors` wrote, executing nothing from the file.

    Parameters
    ----------
    path: path-like
    device: torch.device, optional
        where the tensors go

    Raises
    ------
    ValueError
        if the file is damaged
    """
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"{path} is damaged or is not a file of ours: "
                         f"{str(error).splitlines()[0]}") from error


def write_json(path: Path | str, content: Any) -> None:
    """Write JSON for people to read, atomically."""
    with atomic_write(path) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())
