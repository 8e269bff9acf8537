// ---- moves: bytes

// Copy by nb blocks, of which this one is bid.
TJ_DEVICE void tj_copy(
    const int bid, const int nb, char* target, const char* source, const long long nbytes) {
  const long long first = (long long)bid * (int)blockDim.x + (int)threadIdx.x;
  const long long step = (long long)nb * (int)blockDim.x;
  const unsigned long long ends =
      (unsigned long long)target | (unsigned long long)source | (unsigned long long)nbytes;
  if (ends % 16 == 0) {
    for (long long k = first; k < nbytes / 16; k += step)
      ((tj_vec<double, 2>*)target)[k] = ((const tj_vec<double, 2>*)source)[k];
  } else if (ends % 4 == 0) {
    for (long long k = first; k < nbytes / 4; k += step)
      ((int*)target)[k] = ((const int*)source)[k];
  } else {
    for (long long k = first; k < nbytes; k += step) target[k] = source[k];
  }
}
