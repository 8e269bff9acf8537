"""``tracejit.scipy.fft``: Fourier, cosine and sine transforms, with SciPy's names and norms.

`overwrite_x` and `workers` are taken and change nothing: arrays are immutable, and the threads are
those of ``settings(num_threads=...)``.
"""

from tracejit.numpy.fft import fftfreq, fftshift, ifftshift, rfftfreq
from tracejit.scipy.fft.cosines import dct, dctn, dst, dstn, idct, idctn, idst, idstn
from tracejit.scipy.fft.fourier import (
    fft,
    fft2,
    fftn,
    hfft,
    hfft2,
    hfftn,
    ifft,
    ifft2,
    ifftn,
    ihfft,
    ihfft2,
    ihfftn,
    irfft,
    irfft2,
    irfftn,
    next_fast_len,
    prev_fast_len,
    rfft,
    rfft2,
    rfftn,
)

__all__ = [
    "dct",
    "dctn",
    "dst",
    "dstn",
    "fft",
    "fft2",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "hfft2",
    "hfftn",
    "idct",
    "idctn",
    "idst",
    "idstn",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "ihfft2",
    "ihfftn",
    "irfft",
    "irfft2",
    "irfftn",
    "next_fast_len",
    "prev_fast_len",
    "rfft",
    "rfft2",
    "rfftfreq",
    "rfftn",
]
