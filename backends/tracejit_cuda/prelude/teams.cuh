// ---- teams: accumulators, reductions over a warp or a block, the barrier of a grid

// A sum whose rounding errors are summed beside it: Sum2 of Ogita, Rump and Oishi (2005).  What an
// addition loses is found by Knuth's two-sum, which asks not which operand is larger, as Neumaier
// does, and gives the same.
template <class T> struct tj_sum {
  T total = T(0), lost = T(0);
  __device__ __forceinline__ void take(T x) {
    const T next = total + x;
    const T taken = next - total;
    lost += (total - (next - taken)) + (x - taken);
    total = next;
  }
  __device__ __forceinline__ T value() const {
    // Once the total is infinite, what was lost is nan.
    return lost == lost ? total + lost : total;
  }
};

// The first extreme and where it stands: a nan is the most extreme, a smaller index is before a
// larger one.  Any value is before the initial one.
template <class T, bool GREATEST> struct tj_extreme {
  T value = GREATEST ? tj_least<T>() : tj_greatest<T>();
  long long index = tj_greatest<long long>();
  __device__ __forceinline__ void take(T x, long long at) {
    const bool nan = tj_isnan(x), had = tj_isnan(value);
    const bool more = GREATEST ? x > value : x < value;
    const bool level = x == value || (nan && had);
    if (more || (nan && !had) || (level && at < index)) {
      value = x;
      index = at;
    }
  }
};
template <class T> using tj_argmax = tj_extreme<T, true>;
template <class T> using tj_argmin = tj_extreme<T, false>;

// Steps of a reduction, as objects.
#define TJ_STEP(name, expression)                                                   \
  struct tj_##name##_op {                                                           \
    template <class T> __device__ __forceinline__ T operator()(T x, T y) const {    \
      return expression;                                                            \
    }                                                                               \
  };
TJ_STEP(add, tj_add<T>(x, y))
TJ_STEP(mul, tj_mul<T>(x, y))
TJ_STEP(max, tj_max<T>(x, y))
TJ_STEP(min, tj_min<T>(x, y))
TJ_STEP(and, T(x & y))
TJ_STEP(or, T(x | y))
TJ_STEP(extreme, (x.take(y.value, y.index), x))
#undef TJ_STEP

// What the lane `delta` further holds, or what lane `from` holds.  All lanes of the warp call.
#define TJ_SHUFFLE(name, intrinsic)                                   \
  template <class T> TJ_DEVICE T name(T x, int lane) {                \
    constexpr int count = (sizeof(T) + 3) / 4;                        \
    unsigned int words[count] = {};                                   \
    memcpy(words, &x, sizeof x);                                      \
    for (int i = 0; i < count; ++i) {                                 \
      words[i] = intrinsic(0xffffffffu, words[i], lane);              \
    }                                                                 \
    memcpy(&x, words, sizeof x);                                      \
    return x;                                                         \
  }
TJ_SHUFFLE(tj_shuffle_down, __shfl_down_sync)
TJ_SHUFFLE(tj_shuffle_from, __shfl_sync)
#undef TJ_SHUFFLE

// Shared memory for one value of up to 16 bytes a warp; all reductions of a kernel take turns.
TJ_DEVICE void* tj_scratch() {
  __shared__ tj_vec<double, 2> places[32];
  return places;
}

// A team is one thread, the 32 lanes of a warp, or (any other number) all threads of the block: a
// multiple of 32, at most 1024.  All threads of the team call.  The tree is the same every time,
// and every thread gets the same bits.
template <int TEAM, class Op, class T> TJ_DEVICE T tj_team_reduce(Op op, T x) {
  if constexpr (TEAM == 1) return x;
  for (int delta = 16; delta > 0; delta /= 2) x = op(x, tj_shuffle_down(x, delta));
  if constexpr (TEAM == 32) return tj_shuffle_from(x, 0);
  static_assert(sizeof(T) <= 16, "a place in the scratch memory");
  T* const places = (T*)tj_scratch();
  const int lane = (int)threadIdx.x & 31, warp = (int)threadIdx.x >> 5;
  const int warps = (int)blockDim.x >> 5;
  __syncthreads();  // whoever reads the last reduction has read it
  if (lane == 0) places[warp] = x;
  __syncthreads();
  // Every warp finishes by itself, which spares handing the result round.
  x = places[lane < warps ? lane : 0];
  for (int delta = 16; delta > 0; delta /= 2) {
    const T other = tj_shuffle_down(x, delta);
    if (lane + delta < warps) x = op(x, other);
  }
  return tj_shuffle_from(x, 0);
}

template <int TEAM, class E> TJ_DEVICE E tj_team_extreme(E x) {
  return tj_team_reduce<TEAM>(tj_extreme_op(), x);
}

// Wait until all `nb` blocks of the grid are here; what they wrote before is seen after, if it is
// not read through the read-only cache.  All blocks must be resident at once.  `state` is two words
// of global memory, zero before their first use: how many blocks have come, and the number of the
// wait.  They are ready for the next wait and for the next launch.
TJ_DEVICE void tj_grid_barrier(unsigned int* state, int nb) {
  __syncthreads();
  if (nb > 1 && threadIdx.x == 0) {
    volatile unsigned int* const number = state + 1;
    const unsigned int mine = *number;  // does not change before this block has come
    __threadfence();
    if (atomicAdd(state, 1u) == (unsigned int)nb - 1u) {
      *(volatile unsigned int*)state = 0u;
      __threadfence();
      *number = mine + 1u;
    } else {
      while (*number == mine) __nanosleep(20);
    }
    __threadfence();
  }
  __syncthreads();
}
