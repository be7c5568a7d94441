"""The transforms of :mod:`evc2.nets.fast_conv` in C, generated from the filters' numbers and compiled once a machine.

In torch each step of a transform is a pass over memory. One loop per transform keeps its values in registers, which
is worth a third of the whole time. The program is plain C for any compiler of vector extensions (gcc, clang).
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from evc2.fileio.atomic import atomic_path
from evc2.nets.fast_filters import Filter, filter_for

#: Channels that are treated at once; layers must have a multiple of it.
LANES = 16
FLAGS = ("-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-shared", "-fPIC")
_HEAD = f"""
typedef float vec __attribute__((vector_size({4 * LANES}), aligned(4)));
static const float zeros[4096];
typedef int mask __attribute__((vector_size({4 * LANES}), aligned(4)));
static inline vec relu(vec v, float slope) {{
  const mask positive = v > 0.0f;
  return (vec)((positive & (mask)v) | (~positive & (mask)(v * slope)));
}}
"""
_INTO = """
void into_{taps}(const float *x, long frames, long channels, long d, long n, long reach, float slope, float *v,
                 long first, long last) {{
  const long rows = d * n, plane = rows * channels;
  for (long row = first; row < last; row++) {{
    const float *in[{inputs}];
    for (long s = 0; s < {inputs}; s++) {{
      const long t = d * ({tile} * (row % n) + s) + row / n - reach;
      in[s] = t >= 0 && t < frames ? x + t * channels : zeros;
    }}
    for (long c = 0; c < channels; c += {lanes}) {{
      float *o = v + row * channels + c;
{body}
    }}
  }}
}}
"""
_BACK = """
void back_{taps}(const float *p, long frames, long channels, long d, long n, const float *bias, long add, float *y,
                 long first, long last) {{
  const long rows = d * n, plane = rows * channels;
  for (long row = first; row < last; row++) {{
    const long t0 = d * {tile} * (row % n) + row / n;
    for (long c = 0; c < channels; c += {lanes}) {{
      const float *i = p + row * channels + c;
      const vec b = *(const vec *)(bias + c);
{body}
      for (long s = 0; s < {tile} && t0 + d * s < frames; s++) {{
        vec *o = (vec *)(y + (t0 + d * s) * channels + c);
        *o = add ? *o + r[s] : r[s];
      }}
    }}
  }}
}}
"""


def _sum(row: np.ndarray, names: list[str]) -> str:
    """C expression of a weighted sum, without the terms of weight 0."""
    terms = [name if w == 1 else f"{w:.9e}f * {name}" for w, name in zip(row, names, strict=True) if abs(w) > 1e-12]
    return " + ".join(terms)


def _into(f: Filter) -> str:
    inner, outer = f.parts or (f, None)
    inputs = f.tile + f.taps - 1
    lines = [f"const vec x{s} = relu(*(const vec *)(in[{s}] + c), slope);" for s in range(inputs)]
    for step in range(outer.B.shape[1] if outer else 1):
        names = [f"x{step * inner.tile + s}" for s in range(inner.B.shape[1])]
        lines += [f"const vec v{step}_{j} = {_sum(row, names)};" for j, row in enumerate(inner.B)]
    for j in range(inner.products):
        for q in range(outer.products if outer else 1):
            steps = [f"v{step}_{j}" for step in range(outer.B.shape[1])] if outer else [f"v0_{j}"]
            value = _sum(outer.B[q], steps) if outer else steps[0]
            lines.append(f"*(vec *)(o + {q * inner.products + j} * plane) = {value};")
    body = "\n".join(f"      {line}" for line in lines)
    return _INTO.format(taps=f.taps, inputs=inputs, tile=f.tile, lanes=LANES, body=body)


def _back(f: Filter) -> str:
    inner, outer = f.parts or (f, None)
    lines = [f"const vec p{k} = *(const vec *)(i + {k} * plane);" for k in range(f.products)]
    for e in range(outer.tile if outer else 1):
        for j in range(inner.products):
            names = [f"p{q * inner.products + j}" for q in range(outer.products)] if outer else [f"p{j}"]
            lines.append(f"const vec u{e}_{j} = {_sum(outer.A[e], names) if outer else names[0]};")
    results = []
    for e in range(outer.tile if outer else 1):
        results += [_sum(row, [f"u{e}_{j}" for j in range(inner.products)]) for row in inner.A]
    lines.append(f"const vec r[{f.tile}] = {{{', '.join(f'b + {result}' for result in results)}}};")
    body = "\n".join(f"      {line}" for line in lines)
    return _BACK.format(taps=f.taps, tile=f.tile, lanes=LANES, body=body)


def source() -> str:
    """The C program: ``into_N`` and ``back_N`` for every filter there is."""
    filters = {f.taps: f for f in map(filter_for, range(3, 13))}
    return _HEAD + "".join(_into(f) + _back(f) for f in filters.values())


class Kernels:
    """The compiled transforms; use :meth:`load`."""

    def __init__(self, library: ctypes.CDLL):
        self._library = library
        self._pool: ThreadPoolExecutor | None = None

    @staticmethod
    @lru_cache(maxsize=1)
    def load() -> Kernels:
        """Compile them, or take them from the cache ($XDG_CACHE_HOME or ~/.cache, folder evc2).

        Raises:
            OSError: no C compiler, or it fails (the message says how).
        """
        code = source()
        mark = hashlib.sha256("\n".join((code, *FLAGS, _processor())).encode()).hexdigest()[:16]
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "evc2"
        path = folder / f"fast_conv_{mark}.so"
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _compile(code, path)
        return Kernels(ctypes.CDLL(str(path)))

    def into(
        self, taps: int, x: torch.Tensor, frames: int, dilation: int, reach: int, slope: float, out: torch.Tensor
    ) -> None:
        """LeakyReLU of x [frames, C] and its transformed tiles [products, rows, C] of a filter of so many taps."""
        self._run(
            getattr(self._library, f"into_{taps}"),
            *(_pointer(x), ctypes.c_long(frames), ctypes.c_long(x.shape[1]), ctypes.c_long(dilation)),
            *(ctypes.c_long(out.shape[1] // dilation), ctypes.c_long(reach), ctypes.c_float(slope), _pointer(out)),
            rows=out.shape[1],
        )

    def back(
        self, taps: int, products: torch.Tensor, bias: torch.Tensor, frames: int, dilation: int, add: bool, out: torch.Tensor
    ) -> None:
        """Samples [frames, C] from products [products, rows, C], written to ``out`` or added to it."""
        self._run(
            getattr(self._library, f"back_{taps}"),
            *(_pointer(products), ctypes.c_long(frames), ctypes.c_long(out.shape[1]), ctypes.c_long(dilation)),
            *(ctypes.c_long(products.shape[1] // dilation), _pointer(bias), ctypes.c_long(add), _pointer(out)),
            rows=products.shape[1],
        )

    def _run(self, function: ctypes._CFuncPtr, *arguments: ctypes._SimpleCData, rows: int) -> None:
        """Rows are shared among as many threads as torch uses (ctypes lets go of the interpreter meanwhile)."""
        threads = min(torch.get_num_threads(), rows)
        edges = [rows * i // threads for i in range(threads + 1)]
        spans = [(ctypes.c_long(a), ctypes.c_long(b)) for a, b in zip(edges, edges[1:], strict=False)]
        if threads == 1:
            function(*arguments, *spans[0])
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(max_workers=os.cpu_count())
        others = [self._pool.submit(function, *arguments, *span) for span in spans[1:]]
        function(*arguments, *spans[0])
        for other in others:
            other.result()


def _pointer(x: torch.Tensor) -> ctypes.c_void_p:
    if not x.is_contiguous():
        raise ValueError("expected a contiguous tensor")
    return ctypes.c_void_p(x.data_ptr())


def _processor() -> str:
    """What -march=native depends on: a cache in a shared home must not serve another processor."""
    try:
        flags = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags"))
    except (OSError, StopIteration):
        flags = platform.processor()
    return f"{platform.system()} {platform.machine()} {flags}"


def _compile(code: str, path: Path) -> None:
    compiler = next((c for c in (os.environ.get("CC"), "cc", "gcc", "clang", "g++") if c and shutil.which(c)), None)
    if compiler is None:
        raise OSError("no C compiler found (cc, gcc or clang)")
    with atomic_path(path) as temporary:
        done = subprocess.run(
            [compiler, *FLAGS, "-x", "c", "-", "-o", str(temporary)], input=code, capture_output=True, text=True
        )
        if done.returncode:
            reason = " ".join(done.stderr.split())[:300]
            raise OSError(f"{compiler} cannot compile the kernels: {reason}")
