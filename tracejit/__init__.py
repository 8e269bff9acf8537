"""tracejit: NumPy functions traced, transformed and compiled.

Pure functions written against :mod:`tracejit.numpy` are traced into a Program, transformed by
:func:`grad`, :func:`vmap` and :func:`jit` in any order, fused, and run as native code.
"""

from tracejit import (
    ad_checkpoint,
    custom_batching,
    custom_derivatives,
    debug,
    dlpack,
    dtypes,
    errors,
    flatten_util,
    image,
    lax,
    numpy,
    ops,
    random,
    sharding,
    tree,
    tree_util,
    typing,
)
from tracejit.control import checkpoint_policies
from tracejit.control.callbacks import io_callback, pure_callback
from tracejit.control.checkpoint import checkpoint
from tracejit.control.closures import closure_convert
from tracejit.control.custom import custom_gradient, custom_jvp, custom_vjp
from tracejit.control.stepwise import disable_jit
from tracejit.core.array import Array
from tracejit.core.shardings import NamedSharding
from tracejit.core.shardings import PartitionSpec as P
from tracejit.core.source import named_call, named_scope
from tracejit.core.tracer import Tracer
from tracejit.core.tracer import get_aval as typeof
from tracejit.experimental.jet import jet
from tracejit.runtime.backends import known_backends
from tracejit.runtime.devices import (
    Device,
    block_until_ready,
    counters,
    default_backend,
    default_device,
    device,
    device_count,
    device_get,
    device_put,
    devices,
    effects_barrier,
    ensure_compile_time_eval,
    local_device_count,
    local_devices,
    process_count,
    process_index,
    release_memory,
    set_num_threads,
)
from tracejit.runtime.jit import jit
from tracejit.runtime.meshes import make_mesh, pmap, set_mesh, shard_map
from tracejit.runtime.settings import (
    log_compiles,
    numpy_dtype_promotion,
    numpy_rank_promotion,
    settings,
)
from tracejit.sparsity import hessian, jacobian, sparsity_pattern
from tracejit.transforms.api import (
    ShapeDtypeStruct,
    eval_shape,
    grad,
    jacfwd,
    jacrev,
    jvp,
    linear_transpose,
    linearize,
    make_jaxpr,
    make_program,
    stop_gradient,
    value_and_grad,
    vjp,
    vmap,
)

remat = checkpoint

__version__ = "0.1.0"

__all__ = [
    "Array",
    "Device",
    "NamedSharding",
    "P",
    "ShapeDtypeStruct",
    "Tracer",
    "ad_checkpoint",
    "block_until_ready",
    "checkpoint",
    "checkpoint_policies",
    "closure_convert",
    "counters",
    "custom_batching",
    "custom_derivatives",
    "custom_gradient",
    "custom_jvp",
    "custom_vjp",
    "debug",
    "default_backend",
    "default_device",
    "device",
    "device_count",
    "device_get",
    "device_put",
    "devices",
    "disable_jit",
    "dlpack",
    "dtypes",
    "effects_barrier",
    "ensure_compile_time_eval",
    "errors",
    "eval_shape",
    "flatten_util",
    "grad",
    "hessian",
    "image",
    "io_callback",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jet",
    "jit",
    "jvp",
    "known_backends",
    "lax",
    "linear_transpose",
    "linearize",
    "local_device_count",
    "local_devices",
    "log_compiles",
    "make_jaxpr",
    "make_mesh",
    "make_program",
    "named_call",
    "named_scope",
    "numpy",
    "numpy_dtype_promotion",
    "numpy_rank_promotion",
    "ops",
    "pmap",
    "process_count",
    "process_index",
    "pure_callback",
    "random",
    "release_memory",
    "remat",
    "set_mesh",
    "set_num_threads",
    "settings",
    "shard_map",
    "sharding",
    "sparsity_pattern",
    "stop_gradient",
    "tree",
    "tree_util",
    "typeof",
    "typing",
    "value_and_grad",
    "vjp",
    "vmap",
]
