// ---- scans: every prefix of an axis, combined
//
// Positions run along the axis, columns across it.  A block of THREADS threads works on WIDTH
// columns: thread t is in column t % WIDTH and owns EACH neighbouring positions of a tile, from
// EACH * (t / WIDTH) on.  It combines its own, then what the threads before it in its column have,
// then what the tiles before have.  The order of combination depends on shapes alone.

template <class A> TJ_DEVICE A tj_logaddexp(A x, A y) {
  // Equal infinities have no difference.
  const A apart = x == y ? A(0) : A(fabs(x - y)), high = x > y ? x : y;
  if constexpr (sizeof(A) == 4) return high + log1pf(expf(-apart));
  else return high + log1p(exp(-apart));
}
struct tj_logaddexp_op {
  template <class A> __device__ __forceinline__ A operator()(A x, A y) const {
    return tj_logaddexp<A>(x, y);
  }
};

// What changes nothing: -0.0, for adding 0.0 to it gives 0.0.
template <class A> TJ_DEVICE A tj_identity(tj_add_op) {
  if constexpr (tj_is_float<A>) return A(-0.0);
  else return A(0);
}
template <class A> TJ_DEVICE A tj_identity(tj_mul_op) { return A(1); }
template <class A> TJ_DEVICE A tj_identity(tj_max_op) { return tj_least<A>(); }
template <class A> TJ_DEVICE A tj_identity(tj_min_op) { return tj_greatest<A>(); }
template <class A> TJ_DEVICE A tj_identity(tj_logaddexp_op) { return tj_least<A>(); }

// What the lane `delta` before this one holds, in groups of `width` lanes; its own if there is none.
template <class T> TJ_DEVICE T tj_shuffle_up(T x, int delta, int width) {
  constexpr int count = (sizeof(T) + 3) / 4;
  unsigned int words[count] = {};
  memcpy(words, &x, sizeof x);
  for (int i = 0; i < count; ++i) words[i] = __shfl_up_sync(0xffffffffu, words[i], delta, width);
  memcpy(&x, words, sizeof x);
  return x;
}

// Combine over the threads before this one in its column; `total` is over all of the column.
template <int THREADS, int WIDTH, class Op, class A>
TJ_DEVICE A tj_scan_block(Op op, A x, A& total) {
  if constexpr (WIDTH == THREADS) {
    total = x;
    return tj_identity<A>(op);
  } else {
    static_assert(WIDTH <= 32 && THREADS % 32 == 0, "a warp holds whole rows of columns");
    constexpr int WARPS = THREADS / 32;
    __shared__ A sums[WARPS * WIDTH];
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    const A identity = tj_identity<A>(op);
    for (int d = WIDTH; d < 32; d *= 2) {
      const A y = tj_shuffle_up(x, d, 32);
      if (lane >= d) x = op(y, x);
    }
    A before = identity;
    if constexpr (WIDTH < 32) {
      const A y = tj_shuffle_up(x, WIDTH, 32);
      if (lane >= WIDTH) before = y;
    }
    __syncthreads();  // whoever reads the last sums has read them
    if (lane >= 32 - WIDTH) sums[warp * WIDTH + lane % WIDTH] = x;
    __syncthreads();
    A earlier = identity;
    total = identity;
    for (int w = 0; w < WARPS; ++w) {
      if (w == warp) earlier = total;
      total = op(total, sums[w * WIDTH + lane % WIDTH]);
    }
    return op(earlier, before);
  }
}

// Scan the values of a tile, of which each thread has EACH, after what `carry` has; it goes on.
template <int THREADS, int WIDTH, int EACH, class Op, class A>
TJ_DEVICE void tj_scan_tile(Op op, A (&values)[EACH], A& carry) {
#pragma unroll
  for (int e = 1; e < EACH; ++e) values[e] = op(values[e - 1], values[e]);
  A total;
  const A before = op(carry, tj_scan_block<THREADS, WIDTH>(op, values[EACH - 1], total));
#pragma unroll
  for (int e = 0; e < EACH; ++e) values[e] = op(before, values[e]);
  carry = op(carry, total);
}

// Where the columns of a block lie: column c starts at `start` and goes on in steps of `stride`.
template <int WIDTH, bool REVERSE> struct tj_columns {
  long long column, start, stride;
  bool inside;
  __device__ __forceinline__ tj_columns(
      int group, long long columns, long long length, tj_divisor inner) {
    column = (long long)group * WIDTH + (int)threadIdx.x % WIDTH;
    inside = column < columns;
    stride = REVERSE ? -inner.number : inner.number;
    long long within;
    start = inner.divide(column, within) * length * inner.number + within;
    if (REVERSE) start += (length - 1) * inner.number;
  }
};

// The combination of every chunk but the last of each column: partials[chunk, column].
template <class T, class Op, bool REVERSE, int THREADS, int WIDTH, int EACH>
TJ_DEVICE void tj_scan_partials(
    int bid, int nb, const T* x, tj_computing<T>* partials, int groups, long long columns,
    long long length, tj_divisor inner, int chunks, long long chunk) {
  typedef tj_computing<T> A;
  constexpr int ROWS = THREADS / WIDTH;
  const Op op{};
  for (int item = bid; item < groups * (chunks - 1); item += nb) {
    const int q = item / groups;
    const tj_columns<WIDTH, REVERSE> at(item % groups, columns, length, inner);
    A mine = tj_identity<A>(op);
    if (at.inside) {
      // A chunk is a whole number of tiles, and only the last may be short.
      const T* from = x + at.start + (q * chunk + (int)threadIdx.x / WIDTH) * at.stride;
      for (long long tile = 0; tile < chunk; tile += ROWS * EACH) {
        T values[EACH];
#pragma unroll
        for (int e = 0; e < EACH; ++e) values[e] = from[(tile + e * ROWS) * at.stride];
#pragma unroll
        for (int e = 0; e < EACH; ++e) mine = op(mine, tj_computed<T>::in(values[e]));
      }
    }
    A total;
    tj_scan_block<THREADS, WIDTH>(op, mine, total);
    if (at.inside && (int)threadIdx.x < WIDTH) partials[q * columns + at.column] = total;
  }
}

// Scan chunks of columns; with several chunks, `partials` has what precedes each.
template <class T, class Op, bool REVERSE, int THREADS, int WIDTH, int EACH>
TJ_DEVICE void tj_scan_chunks(
    int bid, int nb, const T* x, T* out, const tj_computing<T>* partials, int groups,
    long long columns, long long length, tj_divisor inner, int chunks, long long chunk) {
  typedef tj_computing<T> A;
  constexpr int ROWS = THREADS / WIDTH, TILE = ROWS * EACH;
  // A single column lies in one piece: it is read in order and handed over in shared memory.
  constexpr bool STAGED = WIDTH == 1;
  const Op op{};
  const int t = (int)threadIdx.x, row = t / WIDTH;
  for (int item = bid; item < groups * chunks; item += nb) {
    const int q = item / groups;
    const tj_columns<WIDTH, REVERSE> at(item % groups, columns, length, inner);
    A carry = tj_identity<A>(op);
    if (q > 0) {
      A mine = carry;
      if (at.inside) {
        for (int p = row; p < q; p += ROWS) mine = op(mine, partials[p * columns + at.column]);
      }
      tj_scan_block<THREADS, WIDTH>(op, mine, carry);
    }
    const long long last = q * chunk + chunk < length ? q * chunk + chunk : length;
    for (long long tile = q * chunk; tile < last; tile += TILE) {
      const int count = last - tile < TILE ? (int)(last - tile) : TILE;
      const T* const from = x + at.start + tile * at.stride;
      T* const to = out + at.start + tile * at.stride;
      A values[EACH];
      if constexpr (STAGED) {
        __shared__ A staged[TILE];
#pragma unroll
        for (int e = 0; e < EACH; ++e) {
          const int m = e * THREADS + t;
          values[e] = m < count ? tj_computed<T>::in(from[REVERSE ? -m : m]) : tj_identity<A>(op);
        }
        __syncthreads();  // the last tile has been stored
#pragma unroll
        for (int e = 0; e < EACH; ++e) staged[e * THREADS + t] = values[e];
        __syncthreads();
#pragma unroll
        for (int e = 0; e < EACH; ++e) values[e] = staged[t * EACH + e];
        tj_scan_tile<THREADS, WIDTH, EACH>(op, values, carry);
#pragma unroll
        for (int e = 0; e < EACH; ++e) staged[t * EACH + e] = values[e];
        __syncthreads();
#pragma unroll
        for (int e = 0; e < EACH; ++e) {
          const int m = e * THREADS + t;
          if (m < count) to[REVERSE ? -m : m] = tj_computed<T>::out(staged[m]);
        }
      } else {
        // The host sees to it that EACH steps fit an int.
        const int mine = at.inside ? count - row * EACH : 0, step = (int)at.stride;
        const long long first = row * EACH * at.stride;
#pragma unroll
        for (int e = 0; e < EACH; ++e) {
          values[e] = e < mine ? tj_computed<T>::in(from[first + e * step]) : tj_identity<A>(op);
        }
        tj_scan_tile<THREADS, WIDTH, EACH>(op, values, carry);
#pragma unroll
        for (int e = 0; e < EACH; ++e) {
          if (e < mine) to[first + e * step] = tj_computed<T>::out(values[e]);
        }
      }
    }
  }
}

// Scan short rows, TEAM lanes to a row, a power of two.  The rows of a block lie in one piece.
template <class T, class Op, bool REVERSE, int THREADS, int TEAM, int EACH>
TJ_DEVICE void tj_scan_rows(
    int bid, int nb, const T* x, T* out, long long rows, int length, int each) {
  typedef tj_computing<T> A;
  constexpr int ROWS = THREADS / TEAM;
  const Op op{};
  const A identity = tj_identity<A>(op);
  const int t = (int)threadIdx.x, lane = t % TEAM, first = lane * each;
  __shared__ A staged[ROWS * TEAM * EACH];
  for (long long group = bid; group * ROWS < rows; group += nb) {
    const long long left = rows - group * ROWS;
    const int count = (left < ROWS ? (int)left : ROWS) * length;
    const T* const from = x + group * ROWS * length;
    T* const to = out + group * ROWS * length;
    __syncthreads();  // the last rows have been stored
#pragma unroll
    for (int e = 0; e < EACH; ++e) {
      const int m = e * THREADS + t;
      if (m < count) staged[m] = tj_computed<T>::in(from[m]);
    }
    __syncthreads();
    const int start = t / TEAM * length + (REVERSE ? length - 1 : 0), step = REVERSE ? -1 : 1;
    const int mine = start < count ? (length - first < each ? length - first : each) : 0;
    A values[EACH];
#pragma unroll
    for (int e = 0; e < EACH; ++e) {
      values[e] = e < mine ? staged[start + (first + e) * step] : identity;
    }
#pragma unroll
    for (int e = 1; e < EACH; ++e) values[e] = op(values[e - 1], values[e]);
    A sum = values[EACH - 1], before = identity;
#pragma unroll
    for (int d = 1; d < TEAM; d *= 2) {
      const A y = tj_shuffle_up(sum, d, TEAM);
      if (lane >= d) sum = op(y, sum);
    }
    if constexpr (TEAM > 1) {
      const A y = tj_shuffle_up(sum, 1, TEAM);
      if (lane > 0) before = y;
    }
#pragma unroll
    for (int e = 0; e < EACH; ++e) {
      if (e < mine) staged[start + (first + e) * step] = op(before, values[e]);
    }
    __syncthreads();
#pragma unroll
    for (int e = 0; e < EACH; ++e) {
      const int m = e * THREADS + t;
      if (m < count) to[m] = tj_computed<T>::out(staged[m]);
    }
  }
}
