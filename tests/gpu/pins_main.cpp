/* Runs the pins and compares the results of two programs that have them: of a card, compiled by
 * nvcc, and of the emulator.
 *
 *   pins run FILE [SEED]       on this program's device; the results into FILE
 *   pins compare FILE          FILE's results beside those of this program's device: JSON
 *
 * So the card runs and the emulator compares, there or years later. A card that lacks an
 * instruction leaves no bytes for it, which compare says in the pin's verdict. NaNs are equal to
 * NaNs whatever their bits. Exit code: 1 when a pin differs by more than its limit, 2 wrong usage
 * or a file that is none, 3 no card. */
#include "gpu/pins.h"
#include "kernels/common/launch.h"

#include <cuda_runtime_api.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vector>

static void expect(cudaError_t error, const char *what) {
  if (error == cudaSuccess) return;
  fprintf(stderr, "pins: %s: %s\n", what, cudaGetErrorString(error));
  exit(error == cudaErrorNoDevice || error == cudaErrorInsufficientDriver ? 3 : 1);
}

extern "C" void *cz_cuda_stream_of(void *stream) { return stream; }
extern "C" void cz_cuda_launched(void *stream, const char *kernel, int error) {
  expect((cudaError_t)error, kernel);
}

/* ---- running ---- */

typedef std::vector<uint32_t> words;
typedef std::vector<uint8_t> bytes;

static bytes run(const pin &p, const words &in) {
  bytes out((size_t)p.items * (size_t)p.out_bytes);
  void *from = nullptr, *to = nullptr;
  const size_t in_bytes = in.size() * sizeof in[0];
  expect(cudaMalloc(&from, in_bytes), "cudaMalloc");
  expect(cudaMalloc(&to, out.size()), "cudaMalloc");
  expect(cudaMemcpy(from, in.data(), in_bytes, cudaMemcpyHostToDevice), "cudaMemcpy");
  expect(cudaMemsetAsync(to, 0xa5, out.size(), nullptr), "cudaMemset");
  p.run(to, (const uint32_t *)from, p.items);
  expect(cudaDeviceSynchronize(), p.name);
  expect(cudaMemcpy(out.data(), to, out.size(), cudaMemcpyDeviceToHost), "cudaMemcpy");
  expect(cudaFree(from), "cudaFree");
  expect(cudaFree(to), "cudaFree");
  return out;
}

static words inputs_of(const pin &p, uint64_t seed) {
  words in((size_t)p.items * (size_t)p.in_words);
  pin_make(in.data(), &p, seed);
  return in;
}

/* ---- files: a line of text for all, one for each pin, followed by its bytes, none where the card
 * lacks what it is about ---- */

static const char first_line[] = "cloze pins 1 seed %llu device %s\n";

static int run_all(const char *path, uint64_t seed) {
  cudaDeviceProp card;
  expect(cudaGetDeviceProperties(&card, 0), "the card");
  FILE *f = fopen(path, "wb");
  if (!f) return perror(path), 1;
  fprintf(f, first_line, (unsigned long long)seed, card.name);
  for (int i = 0; i < pin_count; i++) {
    const bool there = !pins[i].hopper || (card.major == 9 && card.minor == 0);
    const bytes out = there ? run(pins[i], inputs_of(pins[i], seed)) : bytes();
    fprintf(f, "%zu %s\n", out.size(), pins[i].name);
    fwrite(out.data(), 1, out.size(), f);
  }
  return fclose(f) ? (perror(path), 1) : 0;
}

static bytes read_file(const char *path) {
  bytes all;
  uint8_t part[65536];
  FILE *f = fopen(path, "rb");
  if (!f) perror(path), exit(2);
  for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;) all.insert(all.end(), part, part + n);
  fclose(f);
  return all;
}

struct reader {
  const bytes &all;
  size_t at;
};

/* The next line, without its end; it must be there. */
static void line(reader *r, char *text, size_t n) {
  size_t k = 0;
  while (r->at < r->all.size() && r->all[r->at] != '\n' && k + 1 < n)
    text[k++] = (char)r->all[r->at++];
  text[k] = 0;
  if (r->at++ < r->all.size()) return;
  fprintf(stderr, "pins: the file ends too early\n");
  exit(2);
}

/* ---- comparing ---- */

static double value(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return (double)x;
}

/* Of the order of numbers: neighbours differ by one, -0 is 0. */
static int64_t place(uint32_t bits) {
  const int64_t size = bits & 0x7fffffffu;
  return bits >> 31 ? -size : size;
}

static bool is_nan(uint32_t bits, unsigned infinity, unsigned sign) {
  return (bits & (sign - 1)) > infinity;
}

struct finding {
  long values, different, nan_bits, bad, at_flush;
  double worst; /* in the rule's unit, of those that are no NaN */
  long first[3];
};

/* Units in the last place; -1 where one is NaN and the other not, or infinite. */
static double units_apart(uint32_t got, uint32_t want) {
  const bool a = is_nan(got, 0x7f800000u, 0x80000000u), b = is_nan(want, 0x7f800000u, 0x80000000u);
  if (a && b) return 0;
  if (a || b || isinf(value(got)) != isinf(value(want))) return -1;
  return (double)llabs(place(got) - place(want));
}

static bool flushes(uint32_t a, uint32_t b) {
  const double edge = 0x1p-126 * (1 + 0x1p-20);
  return fabs(value(a)) < edge && fabs(value(b)) < edge;
}

/* In units of 2^-24 of SIZE, the sum of the members' sizes. */
static double of_size(uint32_t got, uint32_t want, uint32_t size) {
  const double a = value(got), b = value(want), s = value(size);
  if (isnan(b)) return isnan(a) ? 0 : -1;
  if (isinf(b) || isinf(a) || isnan(a)) return a == b ? 0 : -1;
  return fabs(a - b) / (0x1p-24 * s + 0x1p-149);
}

/* The distance by the pin's rule, -1 for one that has no size. */
static double apart(const pin &p, uint32_t got, uint32_t want, uint32_t size) {
  switch (p.rule) {
  case PIN_BITS: return got == want ? 0 : -1;
  case PIN_FLOAT: return got == want || (isnan(value(got)) && isnan(value(want))) ? 0 : -1;
  case PIN_HALF:
    return got == want || (is_nan(got, 0x7c00, 0x8000) && is_nan(want, 0x7c00, 0x8000)) ? 0 : -1;
  case PIN_BFLOAT:
    return got == want || (is_nan(got, 0x7f80, 0x8000) && is_nan(want, 0x7f80, 0x8000)) ? 0 : -1;
  case PIN_ULPS:
  case PIN_FLUSHED: return units_apart(got, want);
  default: return of_size(got, want, size);
  }
}

/* Values have 16 bits where the rule says so, else 32. */
static int width_of(const pin &p) { return p.rule == PIN_HALF || p.rule == PIN_BFLOAT ? 2 : 4; }

static uint32_t value_at(const bytes &x, size_t i, int width) {
  uint32_t bits = 0;
  memcpy(&bits, x.data() + i * (size_t)width, (size_t)width);
  return bits;
}

static finding compare(const pin &p, const bytes &got, const bytes &want, const bytes &sizes) {
  const int width = width_of(p);
  finding f = {(long)(want.size() / (size_t)width), 0, 0, 0, 0, 0, {-1, -1, -1}};
  for (long i = 0; i < f.values; i++) {
    const uint32_t a = value_at(got, (size_t)i, width), b = value_at(want, (size_t)i, width);
    if (a == b) continue;
    f.different++;
    if (p.rule == PIN_FLUSHED && flushes(a, b)) {
      f.at_flush++;
      continue;
    }
    const double d = apart(p, a, b, sizes.empty() ? 0 : value_at(sizes, (size_t)i, 4));
    f.nan_bits += d == 0;
    if (d > f.worst) f.worst = d;
    if ((d >= 0 && d <= p.limit) || p.rule == PIN_LOOK) continue;
    if (f.bad < 3) f.first[f.bad] = i;
    f.bad++;
  }
  return f;
}

/* Fragments without their signs: the model then gives the sums of sizes. */
static words without_signs(const words &in) {
  words out = in;
  for (size_t i = 0; i < in.size(); i++) out[i] &= i % 10 < 6 ? 0x7fff7fffu : 0x7fffffffu;
  return out;
}

static void print(const pin &p, const finding &f, const bytes &got, const bytes &want,
                  const words &in) {
  static const char *const units[] = {"bits", "bits", "bits",           "bits",
                                      "ulp",  "ulp",  "2^-24 of sizes", "2^-24 of sizes"};
  const int width = width_of(p);
  const size_t of_item = (size_t)(p.out_bytes / width);
  printf("\n {\"pin\": \"%s\", \"values\": %ld, \"different\": %ld, \"nan_of_other_bits\": %ld, "
         "\"at_flush\": %ld, \"worst\": %.6g, \"unit\": \"%s\", \"limit\": %g, \"bad\": %ld, "
         "\"verdict\": \"%s\", \"first\": [",
         p.name, f.values, f.different, f.nan_bits, f.at_flush, f.worst, units[p.rule], p.limit,
         f.bad,
         p.rule == PIN_LOOK ? "not judged"
         : f.bad            ? "differs"
                            : "same");
  for (int k = 0; k < 3 && f.first[k] >= 0; k++) {
    const size_t i = (size_t)f.first[k];
    printf("%s{\"item\": %zu, \"at\": %zu, \"got\": \"%08x\", \"want\": \"%08x\"", k ? ", " : "",
           i / of_item, i % of_item, value_at(got, i, width), value_at(want, i, width));
    if (p.in_words <= 2)
      printf(", \"in\": \"%08x\"", in[i / of_item * (size_t)p.in_words + i % of_item]);
    printf("}");
  }
  printf("]}");
}

static void print_absent(const pin &p) {
  printf("\n {\"pin\": \"%s\", \"values\": 0, \"different\": 0, \"nan_of_other_bits\": 0, "
         "\"at_flush\": 0, \"worst\": 0, \"unit\": \"\", \"limit\": %g, \"bad\": 0, "
         "\"verdict\": \"not on this card\", \"first\": []}",
         p.name, p.limit);
}

static long compare_pin(reader *r, const pin &p, uint64_t seed) {
  char text[256];
  size_t n = 0;
  int at = 0;
  line(r, text, sizeof text);
  const bool read = sscanf(text, "%zu %n", &n, &at) == 1 && !strcmp(text + at, p.name),
             absent = p.hopper && n == 0,
             known = read && (absent || n == (size_t)p.items * (size_t)p.out_bytes) &&
                     r->at + n <= r->all.size();
  if (!known) fprintf(stderr, "pins: '%s' where %s is expected\n", text, p.name), exit(2);
  if (absent) return print_absent(p), 0;
  const bytes got(r->all.begin() + (long)r->at, r->all.begin() + (long)(r->at + n));
  r->at += n;
  const words in = inputs_of(p, seed);
  const bytes want = run(p, in);
  const bool sized = p.rule == PIN_PRODUCT || p.rule == PIN_LOOK;
  const finding f = compare(p, got, want, sized ? run(p, without_signs(in)) : bytes());
  print(p, f, got, want, in);
  return f.bad;
}

static int compare_all(const char *path) {
  const bytes all = read_file(path);
  reader r = {all, 0};
  char text[256], device[200];
  unsigned long long seed;
  long bad = 0;
  line(&r, text, sizeof text);
  if (sscanf(text, "cloze pins 1 seed %llu device %199[^\n]", &seed, device) != 2)
    return fprintf(stderr, "pins: %s is no file of results\n", path), 2;
  printf("{\"device\": \"%s\", \"seed\": %llu, \"pins\": [", device, seed);
  for (int i = 0; i < pin_count; i++) {
    if (i) printf(",");
    bad += compare_pin(&r, pins[i], seed) > 0;
  }
  printf("\n], \"pins_that_differ\": %ld}\n", bad);
  return bad > 0;
}

int main(int argc, char **argv) {
  if (argc >= 3 && argc <= 4 && !strcmp(argv[1], "run"))
    return run_all(argv[2], argc == 4 ? strtoull(argv[3], nullptr, 10) : 1);
  if (argc == 3 && !strcmp(argv[1], "compare")) return compare_all(argv[2]);
  fprintf(stderr, "pins run FILE [SEED] | pins compare FILE\n");
  return 2;
}
