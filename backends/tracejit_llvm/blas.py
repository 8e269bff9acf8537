"""Matrix products by the BLAS that SciPy carries, called through its capsules without the GIL."""

from __future__ import annotations

import ctypes
from typing import Any

__all__ = ["LIBRARIES", "blas_symbols", "matmul_name", "matmul_text"]

LIBRARIES = frozenset(["matmul"])

_TYPES = {"float32": ("sgemm", "float"), "float64": ("dgemm", "double")}


def blas_symbols() -> dict[str, int]:
    """Return the addresses of ``dgemm`` and ``sgemm``."""
    from scipy.linalg import cython_blas

    get_name = ctypes.pythonapi.PyCapsule_GetName
    get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype = ctypes.c_void_p
    get_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    capsules: dict[str, Any] = cython_blas.__pyx_capi__
    return {
        name: get_pointer(capsules[name], get_name(capsules[name]))
        for name, _ in _TYPES.values()
    }


def matmul_name(dtype: Any) -> str:
    """Return the name of the native function for a dtype."""
    return f"matmul_{_TYPES[dtype.name][0]}"


def matmul_text() -> str:
    """Return LLVM text of the native functions ``matmul_dgemm`` and ``matmul_sgemm``.

    They have the signature of a kernel; the sizes are ``(batch, m, n, k, transpose_a,
    transpose_b)``.  Row-major ``C = A B`` is column-major ``C' = B' A'``.
    """
    parts = []
    for gemm, scalar in _TYPES.values():
        parts.append(f"""
declare void @{gemm}(ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr)
define void @matmul_{gemm}(ptr %buffers, ptr %sizes, ptr %floats, i64 %begin, i64 %end) {{
entry:
  %one = alloca {scalar}
  %zero = alloca {scalar}
  %flag_a = alloca i8
  %flag_b = alloca i8
  %m32 = alloca i32
  %n32 = alloca i32
  %k32 = alloca i32
  %lda32 = alloca i32
  %ldb32 = alloca i32
  store {scalar} 1.0, ptr %one
  store {scalar} 0.0, ptr %zero
  %pb = getelementptr ptr, ptr %buffers, i64 1
  %pc = getelementptr ptr, ptr %buffers, i64 2
  %a = load ptr, ptr %buffers
  %b = load ptr, ptr %pb
  %c = load ptr, ptr %pc
  %p1 = getelementptr i64, ptr %sizes, i64 1
  %p2 = getelementptr i64, ptr %sizes, i64 2
  %p3 = getelementptr i64, ptr %sizes, i64 3
  %p4 = getelementptr i64, ptr %sizes, i64 4
  %p5 = getelementptr i64, ptr %sizes, i64 5
  %batch = load i64, ptr %sizes
  %m = load i64, ptr %p1
  %n = load i64, ptr %p2
  %k = load i64, ptr %p3
  %ta = load i64, ptr %p4
  %tb = load i64, ptr %p5
  %tai = icmp ne i64 %ta, 0
  %tbi = icmp ne i64 %tb, 0
  %fa = select i1 %tai, i8 84, i8 78
  %fb = select i1 %tbi, i8 84, i8 78
  store i8 %fa, ptr %flag_a
  store i8 %fb, ptr %flag_b
  %mt = trunc i64 %m to i32
  %nt = trunc i64 %n to i32
  %kt = trunc i64 %k to i32
  store i32 %mt, ptr %m32
  store i32 %nt, ptr %n32
  store i32 %kt, ptr %k32
  %lda = select i1 %tai, i32 %mt, i32 %kt
  %ldb = select i1 %tbi, i32 %kt, i32 %nt
  store i32 %lda, ptr %lda32
  store i32 %ldb, ptr %ldb32
  %mk = mul i64 %m, %k
  %kn = mul i64 %k, %n
  %mn = mul i64 %m, %n
  br label %head
head:
  %i = phi i64 [ 0, %entry ], [ %i1, %body ]
  %more = icmp slt i64 %i, %batch
  br i1 %more, label %body, label %done
body:
  %ao = mul i64 %i, %mk
  %bo = mul i64 %i, %kn
  %co = mul i64 %i, %mn
  %ai = getelementptr {scalar}, ptr %a, i64 %ao
  %bi = getelementptr {scalar}, ptr %b, i64 %bo
  %ci = getelementptr {scalar}, ptr %c, i64 %co
  call void @{gemm}(ptr %flag_b, ptr %flag_a, ptr %n32, ptr %m32, ptr %k32, ptr %one, ptr %bi, ptr %ldb32, ptr %ai, ptr %lda32, ptr %zero, ptr %ci, ptr %n32)
  %i1 = add i64 %i, 1
  br label %head
done:
  ret void
}}
""")  # fmt: skip  # noqa: E501
    return "".join(parts)
