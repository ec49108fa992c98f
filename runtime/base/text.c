#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static uint64_t mix64(uint64_t x) { /* the finaliser of MurmurHash3 (Appleby 2011) */
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33);
}

/** A 64-bit hash of N bytes, the same on every machine; for keys and identity, not
 * against an adversary. */
uint64_t cz_hash64(const void *bytes, size_t n, uint64_t seed) {
  const unsigned char *p = bytes;
  uint64_t h = mix64(seed ^ (0x9e3779b97f4a7c15ULL * (n + 1)));
  for (size_t i = 0; i < n; i += 8) {
    uint64_t w = 0;
    for (size_t j = 0; j < 8 && i + j < n; j++) w |= (uint64_t)p[i + j] << (8 * j);
    h = mix64(h ^ mix64(w + 0x9e3779b97f4a7c15ULL)) * 5 + 0x52dce729;
  }
  return mix64(h);
}

/** cz_hash64 of a NUL-terminated text, seed 0. */
uint64_t cz_hash_text(const char *text) { return cz_hash64(text, strlen(text), 0); }

/* Optimal string alignment distance (insert, delete, replace, swap neighbours), letters
 * compared without case. Words over 63 bytes are far from all. */
static size_t distance(const char *a, const char *b) {
  size_t na = strlen(a), nb = strlen(b), d[3][64];
  if (na > 63 || nb > 63) return SIZE_MAX;
  for (size_t j = 0; j <= nb; j++) d[0][j] = j;
  for (size_t i = 1; i <= na; i++) {
    size_t *row = d[i % 3], *up = d[(i + 2) % 3], *up2 = d[(i + 1) % 3];
    row[0] = i;
    for (size_t j = 1; j <= nb; j++) {
      int ca = tolower((unsigned char)a[i - 1]), cb = tolower((unsigned char)b[j - 1]);
      size_t best = up[j - 1] + (ca != cb);
      if (up[j] + 1 < best) best = up[j] + 1;
      if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
      bool swapped = i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) &&
                     cb == tolower((unsigned char)a[i - 2]);
      if (swapped && up2[j - 2] + 1 < best) best = up2[j - 2] + 1;
      row[j] = best;
    }
  }
  return d[na % 3][nb];
}

/** The name closest in spelling to WORD, or null when none is near enough: a third of its
 * letters may be wrong, and one in any case; dashes before it are no letters. Borrowed
 * from NAMES. */
const char *cz_nearest(const char *word, const char *const *names, size_t count) {
  const char *best = NULL;
  size_t letters = strlen(word) - strspn(word, "-"),
         best_distance = letters < 6 ? 2 : letters / 3 + 1;
  for (size_t i = 0; i < count; i++) {
    size_t d = distance(word, names[i]);
    if (d < best_distance) {
      best_distance = d;
      best = names[i];
    }
  }
  return best;
}

/** Reads a whole decimal integer, nothing before or after it. CZ_EINVAL with the text
 * otherwise. */
cz_status cz_parse_int(const char *text, int64_t *out) {
  char *end;
  errno = 0;
  long long v = strtoll(text, &end, 10);
  if (end == text || *end || isspace((unsigned char)*text))
    return CZ_FAIL(CZ_EINVAL, "expected an integer, found '%s'", text);
  if (errno) return CZ_FAIL(CZ_EINVAL, "integer out of range: '%s'", text);
  *out = v;
  return CZ_OK;
}

/** Reads a whole finite decimal number, nothing before or after it. CZ_EINVAL with the
 * text otherwise. */
cz_status cz_parse_real(const char *text, double *out) {
  char *end;
  double v = strtod(text, &end);
  if (end == text || *end || isspace((unsigned char)*text) || !isfinite(v))
    return CZ_FAIL(CZ_EINVAL, "expected a number, found '%s'", text);
  *out = v;
  return CZ_OK;
}

/** Writes the shortest of %.15g, %.16g and %.17g that reads back to the same double;
 * `inf`, `-inf` or `nan` otherwise. */
void cz_format_real(char out[32], double v) {
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(out, 32, "%.*g", digits, v);
    if (strtod(out, NULL) == v) return;
  }
}

/** Seconds since some fixed moment, never going back. */
double cz_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
