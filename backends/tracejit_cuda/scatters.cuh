// ---- scatters: windows combined with what is at places that are data
//
// A key is what several of come to one place or to disjoint ones, and a cell numbers the places.
// WHOLE: windows coincide or are disjoint; a key is a window, a cell is where one may start.
// Otherwise every element of the updates is a key, and every element of the result is a cell.

template <class I> TJ_DEVICE long long tj_start(I i) {
  if constexpr (tj_is_same<I, unsigned long long>) {
    if (i > tj_unsigned<long long>(-1) >> 1) return tj_greatest<long long>();
  }
  return (long long)i;
}

template <int SIZE> struct tj_bits_of { typedef unsigned char type; };
template <> struct tj_bits_of<2> { typedef unsigned short type; };
template <> struct tj_bits_of<4> { typedef unsigned int type; };
template <> struct tj_bits_of<8> { typedef unsigned long long type; };
template <class T> using tj_bits = typename tj_bits_of<sizeof(T)>::type;

struct tj_place {
  long long offset, cell;  // in elements; cell is -1 if nothing is written
};

template <int STARTS, int AXES> struct tj_windows {
  long long windows;  // in all lanes
  tj_divisor batch, width;  // windows of a lane, elements of a window
  long long size, cells, drop;  // elements and cells of a lane
  struct { long long stride, room, cell; } start[STARTS ? STARTS : 1];
  struct { tj_divisor length; long long step; } axis[AXES ? AXES : 1];

  template <class I> __device__ __forceinline__ tj_place find(const I* indices, long long window) const {
    long long rest;
    const long long lane = batch.divide(window, rest);
    tj_place at = {lane * size, lane * cells};
    bool inside = true;
#pragma unroll
    for (int s = 0; s < STARTS; ++s) {
      const long long i = tj_start(indices[window * STARTS + s]), most = start[s].room;
      const long long moved = i < 0 ? 0 : i > most ? most : i;
      inside = inside && moved == i;
      at.offset += moved * start[s].stride;
      at.cell += moved * start[s].cell;
    }
    if (drop && !inside) at.cell = -1;
    return at;
  }

  // Where element `w` of a window lies in it.
  __device__ __forceinline__ long long within(long long w) const {
    long long offset = 0;
#pragma unroll
    for (int a = AXES - 1; a > 0; --a) {
      long long here;
      w = axis[a].length.divide(w, here);
      offset += here * axis[a].step;
    }
    return AXES ? offset + w * axis[0].step : 0;
  }

  // Where element `u` of the updates goes; `window` is set to its window.
  template <bool WHOLE, class I>
  __device__ __forceinline__ tj_place element(const I* indices, long long u, long long& window) const {
    long long w = 0;
    window = u;
    if constexpr (AXES > 0) window = width.divide(u, w);
    tj_place at = find(indices, window);
    at.offset += within(w);
    if (!WHOLE && at.cell >= 0) at.cell = at.offset;
    return at;
  }

  template <bool WHOLE> __device__ __forceinline__ long long keys() const {
    return WHOLE ? windows : windows * width.number;
  }

  template <bool WHOLE, class I>
  __device__ __forceinline__ long long cell(const I* indices, long long key) const {
    if constexpr (WHOLE) return find(indices, key).cell;
    long long window;
    return element<false>(indices, key, window).cell;
  }
};

#define TJ_EACH(i, count)                                                               \
  _Pragma("unroll 1")                                                                   \
  for (long long i = (long long)bid * (int)blockDim.x + (int)threadIdx.x; i < (count);  \
       i += (long long)nb * (int)blockDim.x)

TJ_DEVICE void tj_scatter_begin(int bid, int nb, char* out, const char* x, long long nbytes) {
  if (out != x) tj_copy(bid, nb, out, x, nbytes);
}

TJ_DEVICE void tj_scatter_fill(int bid, int nb, int* words, long long value, long long count) {
  TJ_EACH(i, count) words[i] = (int)value;
}

// ---- steps

struct tj_set_op {
  template <class T> __device__ __forceinline__ T operator()(T, T y) const { return y; }
};

// The same in any order: 0.0 is above -0.0, and there is one new nan.
template <bool GREATEST> struct tj_ordered_op {
  template <class T> __device__ __forceinline__ T operator()(T x, T y) const {
    if constexpr (tj_is_float<T>) {
      if (x != x) return x;
      if (y != y) return tj_nan<T>();
      if (x == T(0) && y == T(0)) {
        const bool negative = tj_bitcast<tj_bits<T>>(x) != 0;
        return negative == GREATEST ? y : x;
      }
    }
    return (GREATEST ? x < y : y < x) ? y : x;
  }
};
typedef tj_ordered_op<true> tj_greatest_op;
typedef tj_ordered_op<false> tj_least_op;

// *p = op(*p, y) as one, by exchanging it as often as someone else was faster.
template <class Op, class A> TJ_DEVICE void tj_exchange(Op op, A* p, A y) {
  typedef tj_bits<A> Word;
  Word* const word = (Word*)p;
  Word old = atomicCAS(word, Word(0), Word(0));
  while (true) {
    const Word next = tj_bitcast<Word>(op(tj_bitcast<A>(old), y));
    if (next == old) return;
    const Word seen = atomicCAS(word, old, next);
    if (seen == old) return;
    old = seen;
  }
}
template <class A> TJ_DEVICE void tj_atomic(tj_mul_op op, A* p, A y) { tj_exchange(op, p, y); }
template <class A> TJ_DEVICE void tj_atomic(tj_add_op, A* p, A y) {
  if constexpr (tj_is_float<A>) atomicAdd(p, y);
  else atomicAdd((tj_bits<A>*)p, (tj_bits<A>)y);
}
template <class A> TJ_DEVICE void tj_atomic(tj_greatest_op op, A* p, A y) {
  if constexpr (tj_is_float<A>) tj_exchange(op, p, y);
  else atomicMax(p, y);
}
template <class A> TJ_DEVICE void tj_atomic(tj_least_op op, A* p, A y) {
  if constexpr (tj_is_float<A>) tj_exchange(op, p, y);
  else atomicMin(p, y);
}

// ---- no place is written twice, or the order does not matter

template <class T, class I, class Op, int STARTS, int AXES>
TJ_DEVICE void tj_scatter_each(
    int bid, int nb, const I* indices, const T* updates, T* out, tj_windows<STARTS, AXES> to) {
  typedef tj_computed<T> C;
  TJ_EACH(u, to.windows * to.width.number) {
    long long window;
    const tj_place at = to.template element<true>(indices, u, window);
    if (at.cell < 0) continue;
    if constexpr (tj_is_same<Op, tj_set_op>) out[at.offset] = updates[u];
    else out[at.offset] = C::out(Op{}(C::in(out[at.offset]), C::in(updates[u])));
  }
}

// The result is that of the call, or a copy in words, for atomic operations are on words.
template <class T, class I, class Op, int STARTS, int AXES>
TJ_DEVICE void tj_scatter_atomic(
    int bid, int nb, const I* indices, const T* updates, tj_computing<T>* out,
    tj_windows<STARTS, AXES> to) {
  TJ_EACH(u, to.windows * to.width.number) {
    long long window;
    const tj_place at = to.template element<true>(indices, u, window);
    if (at.cell >= 0) tj_atomic(Op{}, out + at.offset, tj_computed<T>::in(updates[u]));
  }
}

template <class T>
TJ_DEVICE void tj_scatter_widen(
    int bid, int nb, const T* x, tj_computing<T>* words, long long count) {
  TJ_EACH(i, count) words[i] = tj_computed<T>::in(x[i]);
}

template <class T>
TJ_DEVICE void tj_scatter_narrow(
    int bid, int nb, T* out, const tj_computing<T>* words, long long count) {
  TJ_EACH(i, count) out[i] = tj_computed<T>::out(words[i]);
}

// ---- the last key of a cell wins

template <class I, class N, bool WHOLE, int STARTS, int AXES>
TJ_DEVICE void tj_scatter_mark(
    int bid, int nb, const I* indices, N* winners, tj_windows<STARTS, AXES> to) {
  TJ_EACH(key, to.template keys<WHOLE>()) {
    const long long cell = to.template cell<WHOLE>(indices, key);
    if (cell >= 0) atomicMax(winners + cell, (N)key);
  }
}

template <class T, class I, class N, bool WHOLE, int STARTS, int AXES>
TJ_DEVICE void tj_scatter_won(
    int bid, int nb, const I* indices, const T* updates, T* out, const N* winners,
    tj_windows<STARTS, AXES> to) {
  TJ_EACH(u, to.windows * to.width.number) {
    long long window;
    const tj_place at = to.template element<WHOLE>(indices, u, window);
    if (at.cell >= 0 && winners[at.cell] == (N)(WHOLE ? window : u)) out[at.offset] = updates[u];
  }
}

// ---- few keys: all pairs of a chunk are compared, and those of one cell are linked in order
//
// A link is -1 for what is not written, else 2 * (distance to the next key of the cell, or 0) + 1
// if there is an earlier one.

template <class I, class N, bool WHOLE, int THREADS, int STARTS, int AXES>
TJ_DEVICE void tj_scatter_links(
    int bid, int nb, const I* indices, int* links, int chunk, tj_windows<STARTS, AXES> to) {
  constexpr int GROUP = 4;
  __shared__ tj_vec<N, GROUP> cells[THREADS / GROUP];
  const long long keys = to.template keys<WHOLE>();
  const int t = (int)threadIdx.x;
  for (long long own = (long long)bid * THREADS; own < keys; own += (long long)nb * THREADS) {
    const long long first = own - own % chunk;  // a chunk is a multiple of THREADS
    const long long last = first + chunk < keys ? first + chunk : keys;
    const N mine = own + t < last ? (N)to.template cell<WHOLE>(indices, own + t) : N(-1);
    bool earlier = false;
    int next = 0;
    for (long long tile = first; tile < last; tile += THREADS) {
      __syncthreads();  // the last tile has been read
      const long long key = tile + t;
      cells[t / GROUP].v[t % GROUP] = key < last ? (N)to.template cell<WHOLE>(indices, key) : N(-1);
      __syncthreads();
      const int distance = (int)(tile - own) - t;
      for (int j = 0; j < THREADS; j += GROUP) {
        const tj_vec<N, GROUP> some = cells[j / GROUP];
        if (some.v[0] == mine || some.v[1] == mine || some.v[2] == mine || some.v[3] == mine) {
#pragma unroll
          for (int k = 0; k < GROUP; ++k) {
            const int d = distance + j + k;
            earlier = earlier || (d < 0 && some.v[k] == mine);
            if (next == 0 && d > 0 && some.v[k] == mine) next = d;
          }
        }
      }
    }
    if (own + t < last) links[own + t] = mine < 0 ? -1 : 2 * next + (int)earlier;
  }
}

template <class T, class I, class Op, bool WHOLE, int CHUNK, int STARTS, int AXES>
TJ_DEVICE void tj_scatter_linked(
    int bid, int nb, const I* indices, const T* updates, T* out, const int* links, long long first,
    tj_windows<STARTS, AXES> to) {
  typedef tj_computed<T> C;
  constexpr bool LAST = tj_is_same<Op, tj_set_op>;
  __shared__ int link[CHUNK];
  const long long left = to.template keys<WHOLE>() - first;
  const int count = left < CHUNK ? (int)left : CHUNK;
  for (int k = (int)threadIdx.x; k < count; k += (int)blockDim.x) link[k] = links[first + k];
  __syncthreads();
  const long long width = WHOLE ? to.width.number : 1;
  TJ_EACH(e, count * width) {
    long long w = 0, window;
    int k = (int)e;
    if constexpr (WHOLE && AXES > 0) k = (int)to.width.divide(e, w);
    if (link[k] < 0 || (LAST ? link[k] > 1 : link[k] & 1)) continue;
    const long long u = first * width + e;
    const tj_place at = to.template element<WHOLE>(indices, u, window);
    if constexpr (LAST) {
      out[at.offset] = updates[u];
    } else {
      auto sum = C::in(out[at.offset]);
      const T* next = updates + u;
      while (true) {
        sum = Op{}(sum, C::in(*next));
        const int step = link[k] >> 1;
        if (step == 0) break;
        k += step;
        next += step * width;
      }
      out[at.offset] = C::out(sum);
    }
  }
}

// ---- sums of floats that are the same in any order: integers of a scale of their own in each cell
//
// First the greatest magnitude of a cell is found: `scale` is 0 without updates but zeros, else
// 1 + the biased exponent.  Then every update is cut to a multiple of a small part of that
// magnitude; integers add up exactly.  A cell with an infinity or a nan notes which.

template <class A> struct tj_fixed;

template <> struct tj_fixed<float> {
  enum { WORDS = 1, SPECIAL = 256 };
  static __device__ __forceinline__ int scale(float x) {
    return x == 0.0f ? 0 : 1 + (int)(tj_bitcast<unsigned int>(x) >> 23 & 255u);
  }
  // Multiples of 2^-bits of the magnitude, which is 2^(scale - 127).
  static __device__ __forceinline__ void take(
      unsigned long long* sums, float x, int scale, int bits) {
    const unsigned int word = tj_bitcast<unsigned int>(x);
    const int exponent = (int)(word >> 23 & 255u);
    const unsigned long long size = (word & 0x7fffffu) | (exponent ? 0x800000u : 0u);
    // The last bit of x is 2^(max(exponent, 1) - 150).
    const int shift = (exponent ? exponent : 1) - 23 - scale + bits;
    const unsigned long long cut = shift >= 0 ? size << shift : shift > -32 ? size >> -shift : 0;
    if (cut) atomicAdd(sums, (word >> 31) ? 0ULL - cut : cut);
  }
  static __device__ __forceinline__ float total(
      const unsigned long long* sums, float x, int scale, int bits) {
    const double unit = tj_bitcast<double>((long long)(1023 + scale - 127 - bits) << 52);
    return (float)((double)x + (double)(long long)sums[0] * unit);
  }
};

// Two words: multiples of 2^-bits, and of 2^-2bits.
template <> struct tj_fixed<double> {
  enum { WORDS = 2, SPECIAL = 2048 };
  static __device__ __forceinline__ int scale(double x) {
    return x == 0.0 ? 0 : 1 + (int)(tj_bitcast<unsigned long long>(x) >> 52 & 2047u);
  }
  static __device__ __forceinline__ unsigned long long moved(unsigned long long n, int shift) {
    return shift >= 0 ? n << shift : shift > -64 ? n >> -shift : 0;
  }
  static __device__ __forceinline__ void take(
      unsigned long long* sums, double x, int scale, int bits) {
    const unsigned long long word = tj_bitcast<unsigned long long>(x);
    const int exponent = (int)(word >> 52 & 2047u);
    const unsigned long long size =
        (word & 0xfffffffffffffULL) | (exponent ? 0x10000000000000ULL : 0ULL);
    const int shift = (exponent ? exponent : 1) - 52 - scale + bits;
    const unsigned long long high = moved(size, shift);
    unsigned long long low = 0;
    if (shift < 0) low = moved(size - (shift > -64 ? high << -shift : 0), shift + bits);
    const bool negative = word >> 63;
    if (high) atomicAdd(sums, negative ? 0ULL - high : high);
    if (low) atomicAdd(sums + 1, negative ? 0ULL - low : low);
  }
  static __device__ __forceinline__ double total(
      const unsigned long long* sums, double x, int scale, int bits) {
    const long long high = (long long)sums[0], low = (long long)sums[1];
    const double near = (double)high;
    // In units of the low word: near * 2^bits, and what is missing to high * 2^bits + low.
    const double big = ldexp(near, bits);
    const double small = ldexp((double)(high - (long long)near), bits) + (double)low;
    const double sum = big + small, lost = small - (sum - big);
    const int unit = scale - 1023 - 2 * bits;
    const double y = ldexp(sum, unit), s = x + y, b = s - x;
    const double error = (x - (s - b)) + (y - b) + ldexp(lost, unit);
    return s - s == 0.0 ? s + error : s;
  }
};

template <class T, class I, int STARTS, int AXES>
TJ_DEVICE void tj_scatter_scales(
    int bid, int nb, const I* indices, const T* updates, int* scales,
    tj_windows<STARTS, AXES> to) {
  typedef tj_fixed<tj_computing<T>> F;
  TJ_EACH(u, to.windows * to.width.number) {
    long long window;
    const int scale = F::scale(tj_computed<T>::in(updates[u]));
    if (scale == 0) continue;
    const tj_place at = to.template element<true>(indices, u, window);
    if (at.cell >= 0) atomicMax(scales + at.offset, scale);
  }
}

template <class T, class I, int STARTS, int AXES>
TJ_DEVICE void tj_scatter_sums(
    int bid, int nb, const I* indices, const T* updates, unsigned long long* sums,
    const int* scales, long long bits, tj_windows<STARTS, AXES> to) {
  typedef tj_fixed<tj_computing<T>> F;
  TJ_EACH(u, to.windows * to.width.number) {
    long long window;
    const auto x = tj_computed<T>::in(updates[u]);
    if (x == 0) continue;
    const tj_place at = to.template element<true>(indices, u, window);
    if (at.cell < 0) continue;
    unsigned long long* const own = sums + at.offset * F::WORDS;
    const int scale = scales[at.offset];
    if (scale < F::SPECIAL) F::take(own, x, scale, (int)bits);
    else if (x != x) atomicOr(own, 4ULL);
    else if (F::scale(x) == F::SPECIAL) atomicOr(own, x > 0 ? 1ULL : 2ULL);
  }
}

template <class T>
TJ_DEVICE void tj_scatter_totals(
    int bid, int nb, const T* x, T* out, const unsigned long long* sums, const int* scales,
    long long bits, long long count) {
  typedef tj_computing<T> A;
  typedef tj_fixed<A> F;
  TJ_EACH(i, count) {
    const T before = x[i];
    const int scale = scales[i];
    if (scale == 0) {
      if (out != x) out[i] = before;
      continue;
    }
    A y = tj_computed<T>::in(before);
    if (scale < F::SPECIAL) {
      y = F::total(sums + i * F::WORDS, y, scale, (int)bits);
    } else {
      const unsigned long long seen = sums[i * F::WORDS];
      if (seen & 1) y += tj_greatest<A>();
      if (seen & 2) y += tj_least<A>();
      if (seen & 4) y = tj_nan<A>();
    }
    out[i] = tj_computed<T>::out(y);
  }
}
#undef TJ_EACH
