"""The BLAS and LAPACK that SciPy carries, called through its capsules; large matrix products."""

from __future__ import annotations

import ctypes
from functools import lru_cache

__all__ = ["BLAS", "blas_text", "linear_symbols", "operand_loads"]

BLAS = {"float32": "matmul_sgemm", "float64": "matmul_dgemm"}
"""The native function for a dtype."""

ROUTINES = frozenset([
    "gemm", "trsm", "trsv", "potrf", "getrf", "geqrf", "orgqr", "ungqr", "syevd", "heevd", "gesdd",
    "geev",
])  # fmt: skip
"""Names of routines that are called, without the letter of their type."""

_TYPES = {"float32": ("sgemm", "float"), "float64": ("dgemm", "double")}


@lru_cache(maxsize=1)
def linear_symbols() -> dict[str, int]:
    """Return the addresses of the routines of BLAS and LAPACK by name; SciPy is imported now."""
    from scipy.linalg import cython_blas, cython_lapack

    get_name = ctypes.pythonapi.PyCapsule_GetName
    get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype = ctypes.c_void_p
    get_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return {
        name: get_pointer(capsule, get_name(capsule))
        for module in (cython_lapack, cython_blas)
        for name, capsule in module.__pyx_capi__.items()
        if name[1:] in ROUTINES
    }


def blas_text(name: str) -> str:
    """Return LLVM text of the native function of a dtype, named as :data:`BLAS` says.

    It has the signature of a kernel, whose rows are the batch; the sizes are ``(batch, m, n, k,
    transpose_a, transpose_b)``.  Row-major ``C = A B`` is column-major ``C' = B' A'``.
    """
    gemm, scalar = _TYPES[name]
    loads = operand_loads("m", "n", "k", "ta", "tb")
    return _TEXT.replace("LOADS", loads).replace("GEMM", gemm).replace("SCALAR", scalar)


def operand_loads(*numbers: str) -> str:
    """Return the instructions that load the arrays of a stack of products, and its numbers.

    The arrays are ``%a``, ``%b`` and ``%c``; the numbers, each ``%`` and its name, are the sizes
    of a kernel from the second on.
    """
    return _POINTERS + "\n".join(
        f"  %p.{x} = getelementptr i64, ptr %sizes, i64 {n}\n  %{x} = load i64, ptr %p.{x}"
        for n, x in enumerate(numbers, 1)
    )


_POINTERS = """\
  %pb = getelementptr ptr, ptr %buffers, i64 1
  %pc = getelementptr ptr, ptr %buffers, i64 2
  %a = load ptr, ptr %buffers
  %b = load ptr, ptr %pb
  %c = load ptr, ptr %pc
"""


_TEXT = """
declare i32 @llvm.smax.i32(i32, i32)
declare void @GEMM(ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr)

define void @matmul_GEMM(ptr %buffers, ptr %sizes, ptr %floats, i64 %begin, i64 %end) {
entry:
  %one = alloca SCALAR
  %zero = alloca SCALAR
  %flag_a = alloca i8
  %flag_b = alloca i8
  %m32 = alloca i32
  %n32 = alloca i32
  %k32 = alloca i32
  %lda32 = alloca i32
  %ldb32 = alloca i32
  %ldc32 = alloca i32
LOADS
  %tai = icmp ne i64 %ta, 0
  %tbi = icmp ne i64 %tb, 0
  %fa = select i1 %tai, i8 84, i8 78
  %fb = select i1 %tbi, i8 84, i8 78
  %mt = trunc i64 %m to i32
  %nt = trunc i64 %n to i32
  %kt = trunc i64 %k to i32
  %lda0 = select i1 %tai, i32 %mt, i32 %kt
  %ldb0 = select i1 %tbi, i32 %kt, i32 %nt
  ; BLAS wants leading dimensions of at least 1, of empty matrices too.
  %lda = call i32 @llvm.smax.i32(i32 %lda0, i32 1)
  %ldb = call i32 @llvm.smax.i32(i32 %ldb0, i32 1)
  %ldc = call i32 @llvm.smax.i32(i32 %nt, i32 1)
  store SCALAR 1.0, ptr %one
  store SCALAR 0.0, ptr %zero
  store i8 %fa, ptr %flag_a
  store i8 %fb, ptr %flag_b
  store i32 %mt, ptr %m32
  store i32 %nt, ptr %n32
  store i32 %kt, ptr %k32
  store i32 %lda, ptr %lda32
  store i32 %ldb, ptr %ldb32
  store i32 %ldc, ptr %ldc32
  %mk = mul i64 %m, %k
  %kn = mul i64 %k, %n
  %mn = mul i64 %m, %n
  br label %head
head:
  %i = phi i64 [ %begin, %entry ], [ %i1, %body ]
  %more = icmp slt i64 %i, %end
  br i1 %more, label %body, label %done
body:
  %ao = mul i64 %i, %mk
  %bo = mul i64 %i, %kn
  %co = mul i64 %i, %mn
  %ai = getelementptr SCALAR, ptr %a, i64 %ao
  %bi = getelementptr SCALAR, ptr %b, i64 %bo
  %ci = getelementptr SCALAR, ptr %c, i64 %co
  call void @GEMM(ptr %flag_b, ptr %flag_a, ptr %n32, ptr %m32, ptr %k32, ptr %one, ptr %bi, ptr %ldb32, ptr %ai, ptr %lda32, ptr %zero, ptr %ci, ptr %ldc32)
  %i1 = add i64 %i, 1
  br label %head
done:
  ret void
}
"""  # noqa: E501
