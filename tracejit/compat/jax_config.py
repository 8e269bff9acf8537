"""``jax.config``, as far as there are settings for it here."""

from __future__ import annotations

import contextlib
from typing import Any

from tracejit.control.stepwise import disable_jit, jit_disabled
from tracejit.core.settings import current_settings
from tracejit.runtime.devices import device
from tracejit.runtime.settings import settings

__all__ = ["Config", "checking_leaks", "debug_nans", "enable_x64"]

_OF_NO_EFFECT = frozenset(
    {
        "jax_check_tracer_leaks",  # a leaked tracer always raises when it is used
        "jax_default_matmul_precision",  # products are in full precision
        "jax_pprint_use_color",
        "jax_threefry_partitionable",  # the numbers are those of True
        "jax_traceback_filtering",
    }
)


def enable_x64(new_val: bool = True) -> settings:
    """Within the block, Python floats are float64; or float32.  Integers stay int64."""
    return settings(default_float="float64" if new_val else "float32")


def debug_nans(new_val: bool = True) -> settings:
    """Within the block, an operation that makes a NaN raises."""
    return settings(debug_nans=new_val)


@contextlib.contextmanager
def checking_leaks(new_val: bool = True) -> Any:
    """Nothing: a tracer that is used after its transformation always raises."""
    del new_val
    yield


class Config:
    """What ``jax.config`` is: ``update(name, value)``, and values as attributes.

    It holds for the thread that sets it, until :func:`tracejit.compat.jax.uninstall`.
    """

    def __init__(self) -> None:
        self._open = contextlib.ExitStack()

    def update(self, name: str, value: Any) -> None:
        """Set an option.

        Raises
        ------
        AttributeError
            If there is no such setting here.
        """
        if name in _OF_NO_EFFECT:
            return
        enter = self._open.enter_context
        match name:
            case "jax_enable_x64":
                if value != self.jax_enable_x64:
                    enter(enable_x64(bool(value)))
            case "jax_debug_nans":
                enter(settings(debug_nans=bool(value)))
            case "jax_log_compiles":
                enter(settings(log_compiles=bool(value)))
            case "jax_numpy_dtype_promotion":
                enter(settings(dtype_promotion=value))
            case "jax_numpy_rank_promotion":
                enter(settings(rank_promotion=value))
            case "jax_compilation_cache_dir":
                enter(settings(cache_dir=value or ""))
            case "jax_disable_jit":
                enter(disable_jit(bool(value)))
            case "jax_platforms" | "jax_platform_name":
                if value:
                    enter(device(str(value).split(",", maxsplit=1)[0]))
            case _:
                raise AttributeError(
                    f"jax.config.update({name!r}, ...): tracejit has no such setting; "
                    "see tracejit.settings"
                )

    @property
    def jax_enable_x64(self) -> bool:
        """Whether Python floats are float64."""
        return current_settings().default_float == "float64"

    x64_enabled = jax_enable_x64

    @property
    def jax_debug_nans(self) -> bool:
        """Whether an operation that makes a NaN raises."""
        return current_settings().debug_nans

    @property
    def jax_disable_jit(self) -> bool:
        """Whether jitted functions run as Python."""
        return jit_disabled.get()

    @property
    def jax_numpy_dtype_promotion(self) -> str:
        """``"standard"`` or ``"strict"``."""
        return current_settings().dtype_promotion

    @property
    def jax_numpy_rank_promotion(self) -> str:
        """``"allow"``, ``"warn"`` or ``"raise"``."""
        return current_settings().rank_promotion

    def close(self) -> None:
        """Undo every update."""
        self._open.close()
