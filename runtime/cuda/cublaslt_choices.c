/* Which algorithm makes which products, in memory and as lines of text:
 *
 *   nt bf16 f32 m=4096 n=768 k=3072 a=16 b=16 c=16 bias=0 epilogue=1 adds=1 us=123.4 algo=<hex>
 *   library=130100 card=NVIDIA H100 80GB HBM3 sum=<hex>
 *
 * (one line): transpositions of a and b, dtypes of operands and result, sizes, alignments, the
 * number of the library's epilogue, whether beta is not 0, microseconds, the library's 64 bytes of
 * an algorithm, its version, the card; and a checksum of what stands before it, since the library
 * cannot tell an algorithm from noise. */
#include "cuda/cublaslt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALGORITHM = sizeof(cublasLtMatmulAlgo_t), HEX = 2 * ALGORITHM };

/** The choice for KEY; null when there is none. */
const cz_cuda_choice *cz_cuda_choice_find(const cz_cuda_choices *all, const cz_cuda_key *key) {
  for (size_t i = 0; i < all->n; i++)
    if (!memcmp(&all->row[i].key, key, sizeof *key)) return &all->row[i];
  return NULL;
}

/** Puts CHOICE into the table, in the place of one with the same key. CZ_ENOMEM. */
cz_status cz_cuda_choice_set(cz_cuda_choices *all, const cz_cuda_choice *choice) {
  cz_cuda_choice *old = (cz_cuda_choice *)cz_cuda_choice_find(all, &choice->key);
  if (old) {
    *old = *choice;
    return CZ_OK;
  }
  if (all->n == all->room) {
    const size_t room = all->room ? 2 * all->room : 64;
    cz_cuda_choice *row = realloc(all->row, room * sizeof *row);
    if (!row) return CZ_FAIL(CZ_ENOMEM, "no memory for %zu algorithms of products", room);
    all->row = row;
    all->room = room;
  }
  all->row[all->n++] = *choice;
  return CZ_OK;
}

/* FNV-1a */
static uint32_t sum_of(const char *text, size_t n) {
  uint32_t sum = 2166136261u;
  for (size_t i = 0; i < n; i++) sum = (sum ^ (unsigned char)text[i]) * 16777619u;
  return sum;
}

static void hex_of(char hex[HEX + 1], const cublasLtMatmulAlgo_t *algorithm) {
  const unsigned char *byte = (const unsigned char *)algorithm;
  for (int i = 0; i < ALGORITHM; i++) snprintf(hex + (size_t)2 * i, 3, "%02x", byte[i]);
}

static bool bytes_of(cublasLtMatmulAlgo_t *algorithm, const char *hex) {
  unsigned char *byte = (unsigned char *)algorithm;
  if (strlen(hex) != HEX || strspn(hex, "0123456789abcdef") != HEX) return false;
  for (int i = 0; i < ALGORITHM; i++) {
    const char two[3] = {hex[(size_t)2 * i], hex[(size_t)2 * i + 1], 0};
    byte[i] = (unsigned char)strtoul(two, NULL, 16);
  }
  return true;
}

/** The line of CHOICE, without its newline. */
void cz_cuda_choice_print(char *text, size_t n, const cz_cuda_choice *choice, const char *card) {
  const cz_cuda_key *k = &choice->key;
  char hex[HEX + 1];
  hex_of(hex, &choice->algorithm);
  int used = snprintf(
      text, n,
      "%c%c %s %s m=%lld n=%lld k=%lld a=%d b=%d c=%d bias=%d epilogue=%d adds=%d us=%.2f algo=%s "
      "library=%zu card=%s",
      k->transposed_a ? 't' : 'n', k->transposed_b ? 't' : 'n', cz_dtype_names[k->in],
      cz_dtype_names[k->out], (long long)k->m, (long long)k->n, (long long)k->k, k->align_a,
      k->align_b, k->align_c, k->align_bias, k->epilogue, k->adds, choice->seconds * 1e6, hex,
      cublasLtGetVersion(), card);
  if (used > 0 && (size_t)used < n)
    snprintf(text + used, n - (size_t)used, " sum=%08x", sum_of(text, (size_t)used));
}

static bool dtype_of(const char *name, int32_t *dtype) {
  for (*dtype = CZ_F32; *dtype <= CZ_F16; ++*dtype)
    if (!strcmp(cz_dtype_names[*dtype], name)) return true;
  return false;
}

/* The rest of the line, behind the library's version, is the card's name and the sum. */
static bool ending_fits(const char *line, const char *card, char *why, size_t n) {
  const char *sum = strstr(line, " sum="), *name = strstr(line, " card=");
  if (!sum || !name || strtoul(sum + 5, NULL, 16) != sum_of(line, (size_t)(sum - line))) {
    snprintf(why, n, "its sum is not that of the line: it was damaged or edited");
    return false;
  }
  name += strlen(" card=");
  if (strlen(card) == (size_t)(sum - name) && !strncmp(name, card, strlen(card))) return true;
  snprintf(why, n, "it is of another card, %.*s", (int)(sum - name), name);
  return false;
}

/* The whole number behind NAME, such as " m=". */
static bool number_of(const char *line, const char *name, int64_t *out) {
  const char *at = strstr(line, name);
  char *end;
  if (!at) return false;
  at += strlen(name);
  *out = strtoll(at, &end, 10);
  return end > at && *end == ' ';
}

/* All numbers of a key. */
static bool read_numbers(const char *line, cz_cuda_key *key) {
  const struct {
    const char *name;
    int64_t *wide;
    int32_t *narrow;
  } rows[] = {{" m=", &key->m, NULL},
              {" n=", &key->n, NULL},
              {" k=", &key->k, NULL},
              {" a=", NULL, &key->align_a},
              {" b=", NULL, &key->align_b},
              {" c=", NULL, &key->align_c},
              {" bias=", NULL, &key->align_bias},
              {" epilogue=", NULL, &key->epilogue},
              {" adds=", NULL, &key->adds}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    int64_t x;
    if (!number_of(line, rows[i].name, &x)) return false;
    if (rows[i].wide)
      *rows[i].wide = x;
    else
      *rows[i].narrow = (int32_t)x;
  }
  return true;
}

/* All of a choice but what it was made for. */
static bool read_choice(const char *line, cz_cuda_choice *choice) {
  char a[2], b[2], in[8], out[8], hex[HEX + 2];
  cz_cuda_key *key = &choice->key;
  const char *us = strstr(line, " us="), *algorithm = strstr(line, " algo=");
  memset(choice, 0, sizeof *choice);
  if (sscanf(line, "%1[nt]%1[nt] %7s %7s", a, b, in, out) != 4 || !us || !algorithm) return false;
  snprintf(hex, sizeof hex, "%.*s", (int)strcspn(algorithm + 6, " "), algorithm + 6);
  key->transposed_a = *a == 't', key->transposed_b = *b == 't';
  choice->seconds = strtod(us + 4, NULL) * 1e-6;
  return dtype_of(in, &key->in) && dtype_of(out, &key->out) && read_numbers(line, key) &&
         bytes_of(&choice->algorithm, hex);
}

/** Reads LINE, which has no newline, for CARD and the library that is loaded; false, with WHY, when
 * it is something else. */
bool cz_cuda_choice_parse(cz_cuda_choice *choice, const char *line, const char *card, char *why,
                          size_t why_bytes) {
  const int64_t loaded = (int64_t)cublasLtGetVersion();
  int64_t library;
  if (!read_choice(line, choice) || !number_of(line, " library=", &library)) {
    snprintf(why, why_bytes, "it is no line of an algorithm");
    return false;
  }
  if (library == loaded) return ending_fits(line, card, why, why_bytes);
  snprintf(why, why_bytes, "it is of another cuBLASLt, %lld; this one is %lld", (long long)library,
           (long long)loaded);
  return false;
}
