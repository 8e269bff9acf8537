// ---- teams: accumulators, reductions over a warp or a block, the barrier of a grid

// A compensated sum: c gathers what each addition to s rounds away (Knuth's two-sum).
template <class T> struct tj_sum {
  T s = T(0), c = T(0);
  __device__ __forceinline__ void take(const T x) {
    const T t = s + x, b = t - s;
    c += (s - (t - b)) + (x - b);
    s = t;
  }
  // An infinite sum has no error: there c is nan.
  __device__ __forceinline__ T value() const { return s - s == T(0) ? s + c : s; }
};

template <class T> TJ_DEVICE bool tj_is_nan(const T x) {
  if constexpr (tj_is_float<T>) return x != x;
  else return false;
}

// The first extreme and where it is; nan is the most extreme.  Nothing was taken while index < 0.
template <class T, bool GREATEST> struct tj_extreme {
  T value = T(0);
  long long index = -1;
  __device__ __forceinline__ void take(const T x, const long long at) {
    const bool more = GREATEST ? value < x : x < value;
    const bool was = tj_is_nan(value), is = tj_is_nan(x);
    const bool same = (was && is) || x == value;
    if (index < 0 || (is && !was) || (!was && more) || (same && at < index)) {
      value = x;
      index = at;
    }
  }
};
template <class T> using tj_argmax = tj_extreme<T, true>;
template <class T> using tj_argmin = tj_extreme<T, false>;

struct tj_add_op {
  template <class T> __device__ __forceinline__ T operator()(const T a, const T b) const {
    if constexpr (tj_is_float<T>) return a + b;
    else return T(tj_unsigned<T>(a) + tj_unsigned<T>(b));
  }
  __device__ __forceinline__ bool operator()(const bool a, const bool b) const { return a | b; }
};
struct tj_mul_op {
  template <class T> __device__ __forceinline__ T operator()(const T a, const T b) const {
    if constexpr (tj_is_float<T>) return a * b;
    else return T((unsigned long long)(long long)a * (unsigned long long)(long long)b);
  }
  __device__ __forceinline__ bool operator()(const bool a, const bool b) const { return a & b; }
};
struct tj_max_op {
  template <class T> __device__ __forceinline__ T operator()(const T a, const T b) const {
    return tj_is_nan(a) || b < a ? a : tj_is_nan(b) || a < b ? b : a;
  }
};
struct tj_min_op {
  template <class T> __device__ __forceinline__ T operator()(const T a, const T b) const {
    return tj_is_nan(a) || a < b ? a : tj_is_nan(b) || b < a ? b : a;
  }
};
struct tj_and_op {
  template <class T> __device__ __forceinline__ T operator()(const T a, const T b) const {
    return T(a & b);
  }
};
struct tj_or_op {
  template <class T> __device__ __forceinline__ T operator()(const T a, const T b) const {
    return T(a | b);
  }
};

// The value of the lane whose number differs in the bits of d.
template <class T> TJ_DEVICE T tj_from_lane(const T x, const int d) {
  if constexpr (sizeof(T) < 4) return (T)__shfl_xor_sync(0xffffffffu, (int)x, d);
  else return __shfl_xor_sync(0xffffffffu, x, d);
}

// Shared memory of block-wide reductions: one place a warp.
template <class T> TJ_DEVICE T* tj_places() {
  __shared__ unsigned long long places[32];
  return (T*)places;
}

// Combine the values of a team (a warp if TEAM is 32, else the block, whose threads are a multiple
// of 32) in a fixed order; every thread gets the result.  A barrier of the team.
template <int TEAM, class Op, class T> TJ_DEVICE T tj_team_reduce(const Op op, T x) {
#pragma unroll
  for (int d = 16; d; d >>= 1) x = op(x, tj_from_lane(x, d));
  if (TEAM == 32) return x;
  T* const places = tj_places<T>();
  const int warps = (int)blockDim.x / 32;
  __syncthreads();  // the last results may still be read
  if (((int)threadIdx.x & 31) == 0) places[(int)threadIdx.x / 32] = x;
  __syncthreads();
  x = places[0];
  for (int w = 1; w < warps; ++w) x = op(x, places[w]);
  return x;
}

template <int TEAM, class T, bool G>
TJ_DEVICE tj_extreme<T, G> tj_team_extreme(tj_extreme<T, G> x) {
#pragma unroll
  for (int d = 16; d; d >>= 1) {
    const T value = tj_from_lane(x.value, d);
    const long long index = tj_from_lane(x.index, d);
    if (index >= 0) x.take(value, index);
  }
  if (TEAM == 32) return x;
  __shared__ long long indices[32];
  T* const places = tj_places<T>();
  const int warps = (int)blockDim.x / 32;
  __syncthreads();
  if (((int)threadIdx.x & 31) == 0) {
    places[(int)threadIdx.x / 32] = x.value;
    indices[(int)threadIdx.x / 32] = x.index;
  }
  __syncthreads();
  tj_extreme<T, G> best;
  for (int w = 0; w < warps; ++w)
    if (indices[w] >= 0) best.take(places[w], indices[w]);
  return best;
}

// Wait for all nb blocks, which must be resident at once.  state[0] counts arrivals and is 0
// between barriers; state[1] counts barriers.  What any thread wrote before it all see after it.
TJ_DEVICE void tj_grid_barrier(unsigned* const state, const int nb) {
  __syncthreads();
  if (threadIdx.x == 0) {
    volatile unsigned* const seen = state;
    __threadfence();
    const unsigned generation = seen[1];
    if (atomicAdd(&state[0], 1u) == (unsigned)nb - 1) {
      seen[0] = 0;
      __threadfence();
      seen[1] = generation + 1;
    } else {
      while (seen[1] == generation) __nanosleep(20);
    }
    __threadfence();
  }
  __syncthreads();
}
