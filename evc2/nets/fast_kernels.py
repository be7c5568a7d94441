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
                 long block, long size, long first, long last) {{
  const long plane = size * channels;
  for (long row = first; row < last; row++) {{
    const float *in[{inputs}];
    for (long s = 0; s < {inputs}; s++) {{
      const long t = d * ({tile} * (row % n) + s) + row / n - reach;
      in[s] = t >= 0 && t < frames ? x + t * channels : zeros;
    }}
    for (long c = 0; c < channels; c += {lanes}) {{
      float *o = v + (row - block) * channels + c;
{body}
    }}
  }}
}}
"""
_BACK = """
void back_{taps}(const float *p, long frames, long channels, long d, long n, const float *bias, long add, float *y,
                 long block, long size, long first, long last) {{
  const long plane = size * channels;
  for (long row = first; row < last; row++) {{
    const long t0 = d * {tile} * (row % n) + row / n;
    for (long c = 0; c < channels; c += {lanes}) {{
      const float *i = p + (row - block) * channels + c;
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
        self, f: Filter, x: torch.Tensor, dilation: int, reach: int, slope: float, rows: range, out: torch.Tensor
    ) -> None:
        """LeakyReLU of x [T, C], then tiles of a filter, transformed.

        Args:
            f: the filter.
            x: input.
            dilation: of the convolution; its phases are treated one after the other.
            reach: inputs before an output's own time that enter it.
            slope: of the LeakyReLU.
            rows: which tiles; there are ``dilation * n``, n of each phase.
            out: [products, len(rows), C].
        """
        frames, channels = x.shape
        n = -(-frames // (dilation * f.tile))
        self._run(f"into_{f.taps}", rows, _pointer(x), frames, channels, dilation, n, reach, slope, _pointer(out))

    def back(
        self,
        f: Filter,
        products: torch.Tensor,
        bias: torch.Tensor,
        dilation: int,
        add: bool,
        rows: range,
        out: torch.Tensor,
    ) -> None:
        """The samples of some tiles, written to ``out`` [T, C] or added to it; arguments as of :meth:`into`."""
        frames, channels = out.shape
        n = -(-frames // (dilation * f.tile))
        self._run(
            *(f"back_{f.taps}", rows, _pointer(products), frames, channels, dilation, n, _pointer(bias), int(add)),
            _pointer(out),
        )

    def _run(self, name: str, rows: range, *arguments: int | float | ctypes.c_void_p) -> None:
        """Rows are shared among as many threads as torch uses (ctypes lets go of the interpreter meanwhile)."""
        function = getattr(self._library, name)
        converted = [ctypes.c_float(a) if isinstance(a, float) else _long(a) for a in arguments]
        converted += [_long(rows.start), _long(len(rows))]
        threads = min(torch.get_num_threads(), len(rows))
        edges = [rows.start + len(rows) * i // threads for i in range(threads + 1)]
        if threads == 1:
            function(*converted, _long(rows.start), _long(rows.stop))
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(max_workers=os.cpu_count())
        spans = list(zip(edges, edges[1:], strict=False))
        others = [self._pool.submit(function, *converted, _long(a), _long(b)) for a, b in spans[1:]]
        function(*converted, *map(_long, spans[0]))
        for other in others:
            other.result()


def _long(value: int | ctypes.c_void_p) -> ctypes.c_long | ctypes.c_void_p:
    return ctypes.c_long(value) if isinstance(value, int) else value


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
