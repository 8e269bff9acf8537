"""The public transformations, gathered: JAX's names, signatures and meaning."""

from tracejit.transforms.abstract import ShapeDtypeStruct, eval_shape, make_program
from tracejit.transforms.derivatives import (
    grad,
    jvp,
    linear_transpose,
    linearize,
    value_and_grad,
    vjp,
)
from tracejit.transforms.jacobians import hessian, jacfwd, jacobian, jacrev
from tracejit.transforms.stop_gradient import stop_gradient
from tracejit.transforms.vectorize import vmap

make_jaxpr = make_program

__all__ = [
    "ShapeDtypeStruct",
    "eval_shape",
    "grad",
    "hessian",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "linear_transpose",
    "linearize",
    "make_jaxpr",
    "make_program",
    "stop_gradient",
    "value_and_grad",
    "vjp",
    "vmap",
]
