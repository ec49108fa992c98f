/* Plain loops over elements of matrices and over lanes, written from the PTX manual (ISA 8.x,
 * sections on mma.m16n8k16, wgmma.mma_async, ldmatrix, cp.async, shfl.sync and vote.sync) and not
 * from the models of the emulator. */
#include "emulator/definitions.h"
#include "emulator/emulator.h"

#include <math.h>
#include <string.h>

/* ---- numbers ---- */

/* A format of numbers: bits of the exponent and of the fraction. */
struct format {
  int exponent, fraction;
};
static const format FLOAT = {8, 23}, BFLOAT = {8, 7}, HALF = {5, 10};

static double value_of(uint32_t bits, format f) {
  const int top = (1 << f.exponent) - 1, bias = top / 2;
  const int e = (int)(bits >> f.fraction) & top;
  const double fraction = (double)(bits & ((1u << f.fraction) - 1));
  const double sign = bits >> (f.exponent + f.fraction) & 1 ? -1 : 1;
  if (e == top) return fraction == 0 ? sign * (double)INFINITY : (double)NAN;
  const double size = e == 0 ? fraction : fraction + (double)(1u << f.fraction);
  return sign * ldexp(size, (e == 0 ? 1 : e) - bias - f.fraction);
}

static double float_of(uint32_t bits) { return value_of(bits, FLOAT); }

/* The nearest number of a format, ties to even; NaN is all ones. */
static uint32_t nearest(double x, format f) {
  const int top = (1 << f.exponent) - 1, bias = top / 2;
  const uint32_t sign = signbit(x) ? 1u << (f.exponent + f.fraction) : 0,
                 infinity = (uint32_t)top << f.fraction;
  int e;
  if (x != x) return (1u << (f.exponent + f.fraction)) - 1;
  if (isinf(x)) return sign | infinity;
  frexp(x, &e); /* |x| is 0.5 to 1 times 2^e */
  const int unit = (e < 2 - bias ? 2 - bias : e) - 1 - f.fraction;
  const double size = nearbyint(ldexp(fabs(x), -unit)); /* of halves to even */
  if (size == 0) return sign;
  if (ldexp(size, unit) > value_of(infinity - 1, f)) return sign | infinity;
  frexp(size, &e);
  if (e <= f.fraction) return sign | (uint32_t)size; /* subnormal */
  const double whole = ldexp(size, f.fraction + 1 - e);
  return sign | (uint32_t)(unit + e - 1 + bias) << f.fraction |
         ((uint32_t)whole - (1u << f.fraction));
}

static uint32_t half_of(uint32_t word, int i) { return word >> 16 * (i % 2) & 0xffff; }

static std::string check_words(const uint32_t *want, const uint32_t *got, int n) {
  for (int i = 0; i < n; i++)
    if (got[i] != want[i]) return emu_format_text("word %d is %08x, not %08x", i, got[i], want[i]);
  return "";
}

/* ---- mma.m16n8k16: which element of A, B, and C or D the lane's element I is ---- */

static int row_of_a(int lane, int i) { return lane / 4 + (i % 4 < 2 ? 0 : 8); }
static int column_of_a(int lane, int i) { return lane % 4 * 2 + i % 2 + (i < 4 ? 0 : 8); }
static int row_of_b(int lane, int i) { return lane % 4 * 2 + i % 2 + (i < 2 ? 0 : 8); }
static int column_of_b(int lane) { return lane / 4; }
static int row_of_c(int lane, int i) { return lane / 4 + (i < 2 ? 0 : 8); }
static int column_of_c(int lane, int i) { return lane % 4 * 2 + i % 2; }

struct matrices {
  double a[16][16], b[16][8], c[16][8];
};

/* A lane's words: four of A, two of B, four of C. */
static void take_apart(matrices *m, const uint32_t *in, format f) {
  for (int l = 0; l < PIN_WARP; l++, in += 10) {
    for (int i = 0; i < 8; i++)
      m->a[row_of_a(l, i)][column_of_a(l, i)] = value_of(half_of(in[i / 2], i), f);
    for (int i = 0; i < 4; i++)
      m->b[row_of_b(l, i)][column_of_b(l)] = value_of(half_of(in[4 + i / 2], i), f);
    for (int i = 0; i < 4; i++) m->c[row_of_c(l, i)][column_of_c(l, i)] = float_of(in[6 + i]);
  }
}

/* To within a unit of the last place of the sum of sizes; infinite as well where that is beyond
 * float32, of which the manual says nothing. */
static bool is_element(const matrices *m, int r, int c, double got) {
  double sum = m->c[r][c], size = fabs(sum);
  for (int k = 0; k < 16; k++)
    sum += m->a[r][k] * m->b[k][c], size += fabs(m->a[r][k] * m->b[k][c]);
  if (sum != sum) return got != got;
  if (isinf(sum)) return got == sum;
  return fabs(got - sum) <= ldexp(size, -24) + 0x1p-149 || (size >= 0x1p127 && isinf(got));
}

static std::string mma(const pin *p, const uint32_t *in, const void *out) {
  matrices m;
  const uint32_t *got = static_cast<const uint32_t *>(out);
  take_apart(&m, in, p->half ? HALF : BFLOAT);
  for (int l = 0; l < PIN_WARP; l++)
    for (int i = 0; i < 4; i++) {
      const int r = row_of_c(l, i), c = column_of_c(l, i);
      if (!is_element(&m, r, c, float_of(got[4 * l + i])))
        return emu_format_text("row %d, column %d (lane %d) is %08x", r, c, l, got[4 * l + i]);
    }
  return "";
}

/* ---- wgmma.m64n8k16: a warp's rows of D lie in its lanes as those of mma do ---- */

static std::string wgmma(const pin *p, const uint32_t *in, const void *out) {
  const format f = p->half ? HALF : BFLOAT;
  const uint32_t *got = static_cast<const uint32_t *>(out);
  for (int t = 0; t < 4 * PIN_WARP; t++)
    for (int i = 0; i < 4; i++) {
      const int row = t / 32 * 16 + t % 32 / 4 + (i < 2 ? 0 : 8), column = t % 4 * 2 + i % 2;
      matrices m; /* of which this element's row, column and addend are made, at 0 */
      for (int k = 0; k < 16; k++) { /* eight numbers of A in a thread, four of B */
        m.a[0][k] = value_of(half_of(in[10 * (2 * row + k / 8) + k % 8 / 2], k), f);
        m.b[k][0] = value_of(half_of(in[10 * (4 * column + k / 4) + 4 + k % 4 / 2], k), f);
      }
      m.c[0][0] = float_of(in[10 * t + 6 + i]);
      if (!is_element(&m, 0, 0, float_of(got[4 * t + i])))
        return emu_format_text("row %d, column %d is %08x", row, column, got[4 * t + i]);
    }
  return "";
}

/* ---- ldmatrix.x4: lanes 8 m to 8 m + 7 address the rows of matrix m ---- */

static std::string ldmatrix(const uint32_t *in, const void *out, bool transposed) {
  uint32_t want[PIN_WARP][4] = {};
  const uint32_t *order = in + 4 * PIN_WARP;
  for (int m = 0; m < 4; m++)
    for (int r = 0; r < 8; r++)
      for (int c = 0; c < 8; c++) {
        const uint32_t *row = in + 4 * order[8 * m + r];
        const int line = transposed ? c : r, at = transposed ? r : c;
        want[4 * line + at / 2][m] |= half_of(row[c / 2], c) << 16 * (at % 2);
      }
  return check_words(&want[0][0], static_cast<const uint32_t *>(out), 4 * PIN_WARP);
}

static std::string rows(const pin *p, const uint32_t *in, const void *out) {
  return ldmatrix(in, out, false);
}

static std::string columns(const pin *p, const uint32_t *in, const void *out) {
  return ldmatrix(in, out, true);
}

/* ---- cp.async, of 16 bytes or of none: each lane reads what its neighbour's four copied ---- */

static std::string copies(const pin *p, const uint32_t *in, const void *out) {
  uint32_t want[4][PIN_WARP][4];
  const uint32_t *present = in + 4 * 4 * PIN_WARP;
  for (int g = 0; g < 4; g++)
    for (int l = 0; l < PIN_WARP; l++)
      for (int i = 0; i < 4; i++)
        want[g][l][i] = present[l ^ 1] >> g & 1 ? in[4 * (PIN_WARP * g + (l ^ 1)) + i] : 0;
  return check_words(&want[0][0][0], static_cast<const uint32_t *>(out), 4 * 4 * PIN_WARP);
}

/* ---- shfl.sync and vote.sync ---- */

/* Lane FROM of the group of WIDTH that L is in, or L itself when FROM lies outside. */
static int within(int l, int from, int width) {
  const int first = l / width * width;
  return from >= first && from < first + width ? from : l;
}

static std::string shuffles(const pin *p, const uint32_t *in, const void *out) {
  uint32_t want[PIN_WARP][8];
  for (int l = 0; l < PIN_WARP; l++) {
    const int by = (int)(in[2 * l + 1] % PIN_WARP);
    const int from[] = {by,
                        l / 8 * 8 + by % 8,
                        l ^ 1 << by % 5,
                        l ^ by % 16,
                        within(l, l - by, 32),
                        within(l, l - by % 16, 16),
                        within(l, l + by, 32),
                        within(l, l + by % 16, 16)};
    for (int i = 0; i < 8; i++) want[l][i] = in[2 * from[i]];
  }
  return check_words(&want[0][0], static_cast<const uint32_t *>(out), 8 * PIN_WARP);
}

static std::string votes(const pin *p, const uint32_t *in, const void *out) {
  uint32_t want[PIN_WARP][4] = {};
  for (int l = 0; l < PIN_WARP; l++)
    for (int k = 0; k < PIN_WARP; k++) {
      want[l][0] |= in[2 * k] % 2 << k;
      if (k / 16 != l / 16) continue;
      want[l][1] |= in[2 * k] % 2 << k;
      want[l][2] |= in[2 * k + 1] % 32 == 0;
      want[l][3] = !want[l][2];
    }
  return check_words(&want[0][0], static_cast<const uint32_t *>(out), 4 * PIN_WARP);
}

/* ---- functions of one number ---- */

static double flushed(double x) { return fabs(x) < 0x1p-126 ? copysign(0, x) : x; }

static std::string function(const pin *p, const uint32_t *in, const void *out) {
  const struct {
    const char *name;
    double want;
  } known[] = {{"cz_exp2", exp2(flushed(float_of(*in)))},
               {"cz_reciprocal", 1 / flushed(float_of(*in))},
               {"1 / x", 1 / float_of(*in)},
               {"expf", exp(float_of(*in))},
               {"logf", log(float_of(*in))},
               {"sqrtf", sqrt(float_of(*in))},
               {"rsqrtf", 1 / sqrt(float_of(*in))},
               {"tanhf", tanh(float_of(*in))},
               {"erff", erf(float_of(*in))}};
  const uint32_t bits = *static_cast<const uint32_t *>(out);
  const double got = float_of(bits);
  for (const auto &k : known) {
    if (strcmp(k.name, p->name)) continue;
    const double want = float_of(nearest(k.want, FLOAT)), unit = ldexp(fabs(want), -23) + 0x1p-149;
    const bool flushes = p->rule == PIN_FLUSHED && fabs(k.want) < 0x1p-126 && got == 0,
               good = want != want ? got != got : got == want || fabs(got - want) <= 2 * unit;
    return flushes || good ? "" : emu_format_text("of %08x it is %08x", *in, bits);
  }
  return "has no definition";
}

static std::string check_narrow(uint32_t got, uint32_t in, const pin *p) {
  const uint32_t want = nearest(float_of(in), p->half ? HALF : BFLOAT);
  return got == want ? "" : emu_format_text("%08x is rounded to %04x, not to %04x", in, got, want);
}

static std::string narrow(const pin *p, const uint32_t *in, const void *out) {
  uint16_t got;
  memcpy(&got, out, sizeof got);
  return check_narrow(got, *in, p);
}

static std::string pair(const pin *p, const uint32_t *in, const void *out) {
  const uint32_t got = *static_cast<const uint32_t *>(out);
  const std::string low = check_narrow(got & 0xffff, in[0], p);
  return low.empty() ? check_narrow(got >> 16, in[1], p) : low;
}

static std::string widen(const pin *p, const uint32_t *in, const void *out) {
  const uint32_t bits = *static_cast<const uint32_t *>(out);
  const double want = value_of(*in & 0xffff, p->half ? HALF : BFLOAT), got = float_of(bits);
  const bool good = got == want ? signbit(got) == signbit(want) : got != got && want != want;
  return good ? "" : emu_format_text("%04x is widened to %08x", *in & 0xffff, bits);
}

/* ---- sums and maxima of a warp, the same in each lane ---- */

static std::string sum(const pin *p, const uint32_t *in, const void *out) {
  float x[PIN_WARP], y[PIN_WARP];
  const uint32_t *got = static_cast<const uint32_t *>(out);
  memcpy(x, in, sizeof x);
  for (int bit = PIN_WARP / 2; bit > 0; bit /= 2) { /* pairs, pairs of pairs ... */
    for (int l = 0; l < PIN_WARP; l++) y[l] = x[l] + x[l ^ bit];
    memcpy(x, y, sizeof x);
  }
  for (int l = 0; l < PIN_WARP; l++)
    if (float_of(got[l]) != (double)x[l] && x[l] == x[l])
      return emu_format_text("lane %d: %08x", l, got[l]);
  return "";
}

static std::string maximum(const pin *p, const uint32_t *in, const void *out) {
  double want = -INFINITY;
  const uint32_t *got = static_cast<const uint32_t *>(out);
  for (int l = 0; l < PIN_WARP; l++) {
    const double x = float_of(in[l]);
    if (!(x <= want)) want = want != want ? want : x;
  }
  for (int l = 0; l < PIN_WARP; l++)
    if (float_of(got[l]) != want && !(want != want && float_of(got[l]) != float_of(got[l])))
      return emu_format_text("lane %d: %08x", l, got[l]);
  return "";
}

/* ---- all of them ---- */

static const struct {
  const char *begins; /* the pin's name */
  std::string (*differs)(const pin *p, const uint32_t *in, const void *out);
} definitions[] = {{"mma ", mma},           {"wgmma ", wgmma},      {"ldmatrix.trans", columns},
                   {"ldmatrix", rows},      {"cp.async", copies},   {"shuffles", shuffles},
                   {"votes", votes},        {"sum of a warp", sum}, {"maximum of a warp", maximum},
                   {"float32 to ", narrow}, {"pair of ", pair},     {"bf16 to ", widen},
                   {"fp16 to ", widen},     {"", function}};

std::string differs(const pin *p, const uint32_t *in, const void *out) {
  for (const auto &d : definitions)
    if (!strncmp(p->name, d.begins, strlen(d.begins))) return d.differs(p, in, out);
  return "has no definition";
}
