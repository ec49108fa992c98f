/* Models of the instructions of tensor cores, of asynchronous copies and of accesses to memory that
 * no compiler sees, from the PTX manual (sections on mma.m16n8k16, ldmatrix, cp.async,
 * wgmma.mma_async). */
#include "emulator/access.h"
#include "emulator/emulator.h"

static const unsigned ALL_LANES = 0xffffffffu;

/* Where a kernel called the function that this stands in. */
#define HERE                                                                                       \
  emu_site { __builtin_return_address(0), at }

/* ---- tensor cores ---- */

struct fragment {
  float *d;
  const uint32_t *a, *b;
  bool fp16;
};

static float from_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/* One of the two numbers in a register. The scale moves a half's exponent to a float's place,
 * subnormal ones too; infinities and NaNs have an exponent of their own. */
static double number(uint32_t bits, int which, bool fp16) {
  const uint32_t x = bits >> 16 * which & 0xffffu;
  if (!fp16) return (double)from_bits(x << 16);
  const uint32_t sign = (x & 0x8000u) << 16, rest = (x & 0x7fffu) << 13;
  if ((x & 0x7c00u) == 0x7c00u) return (double)from_bits(sign | 0x7f800000u | rest);
  return (double)from_bits(sign | rest) * 0x1p112;
}

/* Lane l = 4 g + t holds of A rows g (a0, a2) and g + 8 (a1, a3), columns 2 t, 2 t + 1 (a0, a1) and
 * 8 more (a2, a3); of B column g, rows 2 t, 2 t + 1 (b0) and 8 more (b1); of D rows g (d0, d1) and
 * g + 8 (d2, d3), columns 2 t and 2 t + 1. */
static void collect(double a[16][16], double b[16][8], double d[16][8], void **lanes) {
  for (int lane = 0; lane < EMU_WARP; lane++) {
    const fragment *f = static_cast<fragment *>(lanes[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int k = 0; k < 2; k++) {
      a[g][2 * t + k] = number(f->a[0], k, f->fp16);
      a[g + 8][2 * t + k] = number(f->a[1], k, f->fp16);
      a[g][2 * t + 8 + k] = number(f->a[2], k, f->fp16);
      a[g + 8][2 * t + 8 + k] = number(f->a[3], k, f->fp16);
      b[2 * t + k][g] = number(f->b[0], k, f->fp16);
      b[2 * t + 8 + k][g] = number(f->b[1], k, f->fp16);
      d[g][2 * t + k] = (double)f->d[k];
      d[g + 8][2 * t + k] = (double)f->d[2 + k];
    }
  }
}

typedef double eight __attribute__((vector_size(64)));

/* d += a b. Products are exact in double, so that a fused addition has the same bits. */
#if defined(__GNUC__) && !defined(__clang__) && !defined(CZ_SANITIZED)
__attribute__((target_clones("arch=skylake-avx512", "arch=haswell", "default")))
#endif
static void
multiply(double d[16][8], const double a[16][16], const double b[16][8]) {
  for (int i = 0; i < 16; i += 2) { /* two sums at a time do not wait for each other */
    eight first, second, row;
    memcpy(&first, d[i], sizeof first), memcpy(&second, d[i + 1], sizeof second);
    for (int k = 0; k < 16; k++) {
      memcpy(&row, b[k], sizeof row);
      first += a[i][k] * row, second += a[i + 1][k] * row;
    }
    memcpy(d[i], &first, sizeof first), memcpy(d[i + 1], &second, sizeof second);
  }
}

/* The sum is rounded once. */
static void run_mma(void **lanes, unsigned mask) {
  double a[16][16], b[16][8], d[16][8];
  emu_count_event(EMU_COUNT_MMA, 1);
  collect(a, b, d, lanes);
  multiply(d, a, b);
  for (int lane = 0; lane < EMU_WARP; lane++) {
    float *own = static_cast<fragment *>(lanes[lane])->d;
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; i++) own[i] = (float)d[g + i / 2 * 8][2 * t + i % 2];
  }
}

void emu_mma(float d[4], const uint32_t a[4], const uint32_t b[2], bool fp16, emu_place at) {
  fragment mine = {d, a, b, fp16};
  emu_gather(ALL_LANES, "mma", at, &mine, run_mma);
}

struct matrices {
  uint32_t *r;
  const void *row;
  bool transposed;
};

static void run_ldmatrix(void **lanes, unsigned mask) {
  uint16_t m[4][8][8];
  for (int lane = 0; lane < EMU_WARP; lane++)
    memcpy(m[lane / 8][lane % 8], static_cast<matrices *>(lanes[lane])->row, 16);
  for (int lane = 0; lane < EMU_WARP; lane++) {
    const matrices *own = static_cast<matrices *>(lanes[lane]);
    const int line = lane / 4, at = 2 * (lane % 4);
    for (int i = 0; i < 4; i++) {
      const uint16_t low = own->transposed ? m[i][at][line] : m[i][line][at],
                     high = own->transposed ? m[i][at + 1][line] : m[i][line][at + 1];
      own->r[i] = (uint32_t)low | (uint32_t)high << 16;
    }
  }
}

static bool aligned(const void *p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

void emu_ldmatrix(uint32_t r[4], const void *row, bool transposed, emu_place at) {
  if (!aligned(row)) emu_fail(at, "ldmatrix of a row at %p, which is no multiple of 16", row);
  if (!emu_in_shared(row, 16)) emu_fail(at, "ldmatrix from %p, which is not shared memory", row);
  emu_access(row, 16, EMU_READ_ROW, HERE);
  matrices mine = {r, row, transposed};
  emu_gather(ALL_LANES, transposed ? "ldmatrix.trans" : "ldmatrix", at, &mine, run_ldmatrix);
}

/* ---- products of four warps: PTX ISA, wgmma.mma_async, "Matrix Descriptor Format", "Strides" and
 * the figure of D of m64nNk16. Each warp makes its own rows when its lanes have come. ---- */

struct warpgroup {
  emu_product product;
  uint64_t a, b;
  bool fp16;
  emu_place at;
};

/* The 16 bytes of row ROW of an operand that begin with number 8 PART of it. */
static const uint16_t *piece(uint64_t word, int row, int part) {
  const auto field = [&](int bit) { return (size_t)(word >> bit & 0x3fff) << 4; };
  const size_t leading = field(16), stride = field(32);
  return reinterpret_cast<const uint16_t *>(emu_worker_now->shared + field(0) +
                                            (size_t)part * leading + (size_t)(row / 8) * stride +
                                            (size_t)(row % 8) * 16);
}

static void run_wgmma(void **lanes, unsigned mask) {
  double a[16][16], b[16][8], d[16][8];
  const warpgroup *f = static_cast<warpgroup *>(lanes[0]);
  const int first = emu_worker_now->running->warp % 4 * 16;
  emu_count_event(EMU_COUNT_MMA, 1);
  for (int k = 0; k < 16; k++) {
    for (int i = 0; i < 16; i++) a[i][k] = number(piece(f->a, first + i, k / 8)[k % 8], 0, f->fp16);
    for (int j = 0; j < 8; j++) b[k][j] = number(piece(f->b, j, k / 8)[k % 8], 0, f->fp16);
  }
  for (int lane = 0; lane < EMU_WARP; lane++) {
    const warpgroup *own = static_cast<warpgroup *>(lanes[lane]);
    if (own->a != f->a || own->b != f->b)
      emu_fail(f->at, "wgmma with other operands in lane %d than in lane 0", lane);
    for (int i = 0; i < 4; i++) d[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2] = own->product.d[i];
  }
  multiply(d, a, b);
  for (int lane = 0; lane < EMU_WARP; lane++)
    for (int i = 0; i < 4; i++)
      static_cast<warpgroup *>(lanes[lane])->product.d[i] =
          (float)d[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
}

uint32_t emu_shared_address(const void *p, emu_place at) {
  if (!emu_in_shared(p, 16)) emu_fail(at, "the operand at %p, which is not shared memory", p);
  return (uint32_t)(static_cast<const unsigned char *>(p) - emu_worker_now->shared);
}

/* A lane reads its share of the 32 pieces of A, and of the 16 of B. */
static void check_operands(uint64_t a, uint64_t b, emu_site site) {
  const emu_fiber *f = emu_worker_now->running;
  const uint64_t fields = 0x3fffull | 0x3fffull << 16 | 0x3fffull << 32;
  const int row = f->lane / 2, part = f->lane % 2;
  const void *pieces[] = {piece(a, f->warp % 4 * 16 + row, part), piece(b, row, part)};
  if ((a | b) & ~fields)
    emu_fail(site.at, "wgmma with operands %#lx and %#lx: this model has no swizzle", a, b);
  for (int i = 0; i < (row < 8 ? 2 : 1); i++) {
    if (!emu_in_shared(pieces[i], 16))
      emu_fail(site.at, "wgmma of a row at %p, which is not shared memory", pieces[i]);
    emu_access(pieces[i], 16, EMU_READ, site);
  }
}

/* Until it was waited for D holds NaN, and may be in no other product; a card has an order for
 * those of one D, which this model does not. */
void emu_wgmma_n8(float d[4], uint64_t a, uint64_t b, bool fp16, emu_place at) {
  emu_fiber *f = emu_worker_now->running;
  if (f->warp / 4 * 128 + 128 > emu_worker_now->threads)
    emu_fail(at, "wgmma in warp %d, which is not one of four", f->warp);
  for (const emu_product &p : f->products)
    if (p.to == d) emu_fail(at, "wgmma with a sum whose last product was not waited for");
  check_operands(a, b, HERE);
  warpgroup mine = {{d, {d[0], d[1], d[2], d[3]}, f->product_groups}, a, b, fp16, at};
  emu_gather(ALL_LANES, "wgmma", at, &mine, run_wgmma);
  memset(d, 0xff, sizeof mine.product.d);
  f->products.push_back(mine.product);
}

void emu_wgmma_commit(void) { emu_worker_now->running->product_groups++; }

void emu_wgmma_wait(int groups, emu_place at) {
  static const uint64_t untouched[2] = {~0ull, ~0ull};
  emu_fiber *f = emu_worker_now->running;
  std::vector<emu_product> later;
  for (const emu_product &p : f->products) {
    if (p.group >= f->product_groups - groups) {
      later.push_back(p);
      continue;
    }
    if (memcmp(p.to, untouched, sizeof p.d))
      emu_fail(at, "wgmma into a sum that was written under it");
    memcpy(p.to, p.d, sizeof p.d);
  }
  f->products.swap(later);
}

void emu_wgmma_end(const emu_fiber *f) {
  if (!f->products.empty()) emu_fail({}, "leaves before its wgmma has been waited for");
}

/* ---- asynchronous copies ---- */

/* Until a copy has landed its place holds NaN: whoever does not wait for it sees that. */
void emu_copy_16(void *shared, const void *from, bool present, emu_place at) {
  emu_fiber *f = emu_worker_now->running;
  if (!emu_in_shared(shared, 16))
    emu_fail(at, "cp.async to %p, which is not shared memory", shared);
  if (present && emu_in_arena(emu_worker_now, from))
    emu_fail(at, "cp.async from %p, which is shared memory", from);
  if (!aligned(shared) || (present && !aligned(from)))
    emu_fail(at, "cp.async from %p to %p: not multiples of 16", from, shared);
  if (present) emu_access(from, 16, EMU_READ, HERE);
  emu_access(shared, 16, EMU_WRITE_COPY, HERE);
  memset(shared, 0xff, 16);
  emu_forget(shared, 16);
  emu_copy copy = {shared, from, present, {}, __builtin_return_address(0)};
  if (present) memcpy(copy.bytes, from, 16);
  f->copies.push_back(copy);
}

void emu_copy_commit(void) {
  emu_fiber *f = emu_worker_now->running;
  f->groups.push_back(f->copies.size());
}

/* A card may copy at any time between the call and the wait. */
static void land(const emu_copy &c, emu_place at) {
  static const uint64_t untouched[2] = {~0ull, ~0ull};
  emu_access(c.to, 16, EMU_LAND, emu_site{c.pc, at});
  if (c.present && memcmp(c.bytes, c.from, 16))
    emu_fail(at, "cp.async from %p: what it copies was changed before it was waited for", c.from);
  if (memcmp(c.to, untouched, 16)) emu_fail(at, "cp.async to %p, which was written under it", c.to);
  memcpy(c.to, c.bytes, 16);
}

void emu_copy_wait(int groups, emu_place at) {
  emu_fiber *f = emu_worker_now->running;
  for (; f->groups.size() - f->waited > (size_t)groups; f->waited++)
    for (; f->landed < f->groups[f->waited]; f->landed++) land(f->copies[f->landed], at);
  if (f->landed < f->copies.size() || f->waited < f->groups.size()) return;
  f->copies.clear(), f->groups.clear();
  f->landed = f->waited = 0;
}

/* A card goes on copying when the thread has left, into whatever its place holds by then. */
void emu_copy_end(const emu_fiber *f) {
  if (f->landed < f->copies.size())
    emu_fail({}, "leaves before its cp.async to %p has landed", f->copies[f->landed].to);
}

/* ---- memory ---- */

uint4 emu_load_16(const void *p, emu_place at) {
  uint4 bits;
  if (!aligned(p)) emu_fail(at, "a load of 16 bytes from %p, which is no multiple of 16", p);
  emu_access(p, 16, EMU_READ, HERE);
  memcpy(&bits, p, sizeof bits);
  return bits;
}

void emu_store_16(void *p, uint4 bits, emu_place at) {
  if (!aligned(p)) emu_fail(at, "a store of 16 bytes to %p, which is no multiple of 16", p);
  emu_access(p, 16, EMU_WRITE, HERE);
  memcpy(p, &bits, sizeof bits);
}

int emu_atomic_add(int *to, int x, emu_place at) {
  emu_access(to, sizeof *to, EMU_ADD, HERE);
  return __atomic_fetch_add(to, x, __ATOMIC_RELAXED);
}
