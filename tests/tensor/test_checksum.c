/* The checksum of stored bytes: what it must see, and that pieces do not matter. */
#include "common/common.h"
#include "base/checksum.h"
#include "device/random.h"

#include <stdlib.h>

enum { BYTES = 1 << 16 };

static uint64_t sum_of(const void *bytes, size_t n) {
  cz_checksum c = {0};
  cz_checksum_add(&c, bytes, n);
  return cz_checksum_value(&c);
}

/* The same bytes in pieces of 0 to 20 bytes. */
static void test_pieces(void **state) {
  static unsigned char bytes[3000];
  cz_stream s;
  cz_stream_init(&s, test_seed(), "pieces", 0, 0);
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)cz_stream_u32(&s);
  for (int k = 0; k < 200; k++) {
    size_t n = cz_stream_below(&s, sizeof bytes + 1);
    cz_checksum c = {0};
    for (size_t at = 0; at < n;) {
      size_t piece = cz_stream_below(&s, 21);
      if (piece > n - at) piece = n - at;
      cz_checksum_add(&c, bytes + at, piece);
      assert_true(cz_checksum_value(&c) == sum_of(bytes, at + piece)); /* and goes on */
      at += piece;
    }
    assert_true(cz_checksum_value(&c) == sum_of(bytes, n));
  }
}

/* Every 16-bit word of zeros turned into ones, every bit, every cleared stretch. */
static void test_changes(void **state) {
  unsigned char *bytes = calloc(BYTES, 1);
  uint64_t zeros = sum_of(bytes, BYTES);
  for (size_t i = 0; i < BYTES; i += 2) {
    bytes[i] = bytes[i + 1] = 0xFF;
    assert_true(sum_of(bytes, BYTES) != zeros);
    bytes[i] = bytes[i + 1] = 0;
  }
  for (size_t bit = 0; bit < 8 * 1024; bit++) {
    bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
    assert_true(sum_of(bytes, BYTES) != zeros);
    bytes[bit / 8] = 0;
  }
  for (size_t page = 256; page <= 16384; page *= 2) {
    memset(bytes + BYTES / 2, 0xFF, page);
    assert_true(sum_of(bytes, BYTES) != zeros);
    memset(bytes + BYTES / 2, 0, page);
  }
  for (size_t n = 0; n < 100; n++) assert_true(sum_of(bytes, n) != sum_of(bytes, n + 1));
  free(bytes);
}

/* Sums of inputs that differ in one bit differ in half of their bits, and no two of many
 * similar inputs are equal. */
static void test_spread(void **state) {
  enum { INPUTS = 4096 };
  static uint64_t sums[INPUTS];
  double flipped = 0;
  for (uint64_t i = 0; i < INPUTS; i++) sums[i] = sum_of(&i, sizeof i);
  for (int i = 0; i < INPUTS; i++) flipped += __builtin_popcountll(sums[i] ^ sums[i ^ 1]);
  assert_true(flipped / INPUTS > 31 && flipped / INPUTS < 33); /* 32 +- 0.06 */
  for (int i = 0; i < INPUTS; i++)
    for (int j = 0; j < i; j++) assert_true(sums[i] != sums[j]);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_pieces), cmocka_unit_test(test_changes),
                                     cmocka_unit_test(test_spread)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
