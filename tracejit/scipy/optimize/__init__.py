"""``tracejit.scipy.optimize``: minima and roots, compiled, with implicit derivatives.

What is found depends on the values that the function closes over, or is given by ``args``; its
derivatives by these follow from the equation that holds there, not from the iterations.
"""

from tracejit.scipy.optimize.minimize import OptimizeResults, minimize
from tracejit.scipy.optimize.roots import RootResults, bisect, brentq, fixed_point, newton, root

__all__ = [
    "OptimizeResults", "RootResults", "bisect", "brentq", "fixed_point", "minimize", "newton",
    "root",
]  # fmt: skip
