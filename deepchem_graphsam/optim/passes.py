"""Passes over the memory of many tensors at once, compiled for the CPU.

An optimizer's own work is bound by memory: what counts is how often it reads and writes the
weights. torch has no operation that keeps a tensor's old values while it moves it, or that
measures what it has just averaged, and it spends some microseconds on each tensor. These
functions take lists of tensors by their addresses and do each in one pass; `tensors` decides
whether they fit.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from types import FunctionType
from typing import Any

import numba
import numpy as np
import torch
from numba import carray, njit, prange, types
from numba.extending import intrinsic
from torch import Tensor

_CHUNK = 1 << 14  # elements that one thread works on at a time
_FEW = 1 << 17  # elements that are done before a pool of threads is awake
_DTYPES = {torch.float32: np.float32, torch.float64: np.float64}
# Sums may be reordered and products contracted; NaN and infinity keep their meaning.
_MATHS = {"reassoc", "contract", "nsz", "arcp"}
_ONE_AT_A_TIME = threading.Lock()  # numba's own thread pool is not thread-safe


@intrinsic
def _pointer(typing: Any, address: Any, skipped: Any, like: Any) -> Any:
    """A pointer to numbers of the type of `like`, so many of them after the address."""
    pointer = types.CPointer(like)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        start = builder.inttoptr(args[0], context.get_value_type(pointer))
        return builder.gep(start, [args[1]])

    return pointer(address, skipped, like), generate


_inner = njit(fastmath=_MATHS, error_model="numpy", cache=True)


def _outer(function: Any) -> tuple[Any, Any]:
    """The function for one thread, and for several.

    The second has a pool of threads, which wait busily: not to be woken for little, nor where
    torch has been told to keep to one.
    """
    alone = FunctionType(function.__code__, function.__globals__,
                         f"{function.__name__}_alone")
    alone.__qualname__ = alone.__name__  # it has a file of its own in numba's cache
    options = {"fastmath": _MATHS, "error_model": "numpy", "cache": True}
    return njit(**options)(alone), njit(parallel=True, **options)(function)


@_inner
def _part(addresses: Any, chunk: Any, like: Any) -> Any:
    """The part of a tensor that a chunk names, as an array."""
    return carray(_pointer(addresses[chunk[0]], chunk[1], like), chunk[2])


@_inner
def _move_part(target: Any, direction: Any, before: Any, scale: Any) -> None:
    for i in range(target.size):
        value = target[i]
        before[i] = value
        target[i] = value + scale * direction[i]


@_inner
def _copy_part(target: Any, source: Any) -> None:
    for i in range(target.size):
        target[i] = source[i]


@_inner
def _average_part(target: Any, end: Any, weight: Any) -> Any:
    squares = weight - weight  # zero, of its type
    for i in range(target.size):
        value = target[i] + weight * (end[i] - target[i])
        target[i] = value
        squares += value * value
    return squares


@_inner
def _square_part(source: Any, like: Any) -> Any:
    squares = like - like
    for i in range(source.size):
        squares += source[i] * source[i]
    return squares


@_inner
def _total(squares: Any) -> Any:
    """The sum in one order, whichever threads did the parts: a seed repeats every bit."""
    total = 0.0
    for square in squares:
        total += square
    return total


@_outer
def _move(chunks: Any, addresses: Any, scale: Any) -> None:
    for i in prange(len(chunks)):
        _move_part(_part(addresses[0], chunks[i], scale),
                   _part(addresses[1], chunks[i], scale),
                   _part(addresses[2], chunks[i], scale), scale)


@_outer
def _copy(chunks: Any, addresses: Any, like: Any) -> None:
    for i in prange(len(chunks)):
        _copy_part(_part(addresses[0], chunks[i], like),
                   _part(addresses[1], chunks[i], like))


@_outer
def _average(chunks: Any, addresses: Any, weight: Any) -> Any:
    squares = np.empty(len(chunks))
    for i in prange(len(chunks)):
        squares[i] = _average_part(_part(addresses[0], chunks[i], weight),
                                   _part(addresses[1], chunks[i], weight),
                                   weight)
    return _total(squares)


@_outer
def _squares(chunks: Any, addresses: Any, like: Any) -> Any:
    squares = np.empty(len(chunks))
    for i in prange(len(chunks)):
        squares[i] = _square_part(_part(addresses[0], chunks[i], like), like)
    return _total(squares)


@lru_cache(maxsize=64)
def _chunks(sizes: tuple[int, ...]) -> np.ndarray:
    """(chunks, 3) int64: number of the tensor, elements to skip, elements to do."""
    rows = [(tensor, skipped, min(_CHUNK, size - skipped))
            for tensor, size in enumerate(sizes)
            for skipped in range(0, size, _CHUNK)]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def serve(*lists: Sequence[Tensor]) -> bool:
    """Whether these passes take the tensors: on the CPU, dense, and of one dtype they know.

    Examples
    --------
    >>> serve([torch.ones(2)], [torch.ones(2)])
    True
    >>> serve([torch.ones(2)], [torch.ones(2, dtype=torch.bfloat16)])
    False
    """
    if not lists[0]:
        return False
    dtype = lists[0][0].dtype
    return dtype in _DTYPES and all([
        t.dtype is dtype and t.is_cpu and t.is_contiguous()
        for tensors in lists
        for t in tensors
    ])


def move_(targets: Sequence[Tensor], directions: Sequence[Tensor],
          before: Sequence[Tensor], scale: float) -> None:
    """``before[:] = target; target += scale * direction`` for each triple.

    Examples
    --------
    >>> weight, saved = torch.tensor([1.0, 2.0]), torch.empty(2)
    >>> move_([weight], [torch.ones(2)], [saved], 0.5)
    >>> weight, saved
    (tensor([1.5000, 2.5000]), tensor([1., 2.]))
    """
    _run(_move, (targets, directions, before), scale)


def copy_(targets: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    """``target[:] = source`` for each pair."""
    _run(_copy, (targets, sources), 0)


def lerp_(targets: Sequence[Tensor], ends: Sequence[Tensor],
          weight: float) -> float:
    """``target += weight * (end - target)``; returns the sum of squares of the results.

    Examples
    --------
    >>> lerp_([torch.tensor([1.0, 2.0])], [torch.tensor([3.0, 2.0])], 0.5)
    8.0
    """
    return float(_run(_average, (targets, ends), weight))


def sum_of_squares(tensors: Sequence[Tensor]) -> float:
    """Of all elements, in float64 across chunks.

    Examples
    --------
    >>> sum_of_squares([torch.tensor([3.0]), torch.tensor([[4.0]])])
    25.0
    """
    return float(_run(_squares, (tensors,), 0))


def _run(function: tuple[Any, Any], lists: Sequence[Sequence[Tensor]],
         scale: float) -> Any:
    """Run a compiled function on the chunks and addresses of these tensors."""
    alone, together = function
    sizes = tuple([t.numel() for t in lists[0]])
    chunks = _chunks(sizes)
    addresses = np.array([[t.data_ptr() for t in tensors] for tensors in lists],
                         dtype=np.int64)
    number = _DTYPES[lists[0][0].dtype](scale)
    threads = min(torch.get_num_threads(), numba.config.NUMBA_NUM_THREADS)
    if threads == 1 or sum(sizes) < _FEW:
        return alone(chunks, addresses, number)
    with _ONE_AT_A_TIME:
        numba.set_num_threads(threads)
        return together(chunks, addresses, number)
