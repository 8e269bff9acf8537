"""``tracejit.scipy.signal``: convolutions, filters, spectra and windows."""

from tracejit.scipy.signal import windows
from tracejit.scipy.signal.convolutions import (
    convolve,
    convolve2d,
    correlate,
    correlate2d,
    fftconvolve,
)
from tracejit.scipy.signal.filters import (
    detrend,
    filtfilt,
    lfilter,
    lfilter_zi,
    savgol_coeffs,
    savgol_filter,
    sosfilt,
    sosfilt_zi,
    sosfiltfilt,
)
from tracejit.scipy.signal.rates import hilbert, resample, resample_poly, upfirdn
from tracejit.scipy.signal.spectra import (
    coherence,
    csd,
    istft,
    periodogram,
    spectrogram,
    stft,
    welch,
)
from tracejit.scipy.signal.windows import get_window

__all__ = [
    "coherence", "convolve", "convolve2d", "correlate", "correlate2d", "csd", "detrend",
    "fftconvolve", "filtfilt", "get_window", "hilbert", "istft", "lfilter", "lfilter_zi",
    "periodogram", "resample", "resample_poly", "savgol_coeffs", "savgol_filter", "sosfilt",
    "sosfilt_zi", "sosfiltfilt", "spectrogram", "stft", "upfirdn", "welch", "windows",
]  # fmt: skip
