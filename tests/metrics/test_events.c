/* TensorBoard files: checksums, frames, messages. With an argument, writes the sample run
 * that scripts/check_tensorboard.py reads with TensorBoard's own code. */
#include "common/common.h"
#include "base/fs.h"
#include "metrics/events.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* CRC-32C by its definition: the remainder of the message, reflected, after division by the
 * polynomial 1EDC6F41; not the writer's code. */
static uint32_t crc32c(const void *bytes, size_t n) {
  const unsigned char *p = bytes;
  uint32_t crc = 0xFFFFFFFFu;
  for (size_t i = 0; i < 8 * n; i++) {
    uint32_t bit = p[i / 8] >> i % 8 & 1u, top = crc >> 31;
    crc <<= 1;
    if (top ^ bit) crc ^= 0x1EDC6F41u;
  }
  uint32_t reflected = 0;
  for (int k = 0; k < 32; k++) reflected |= (crc >> k & 1u) << (31 - k);
  return ~reflected;
}

static uint32_t masked(const void *bytes, size_t n) {
  uint32_t crc = crc32c(bytes, n);
  return (crc >> 15 | crc << 17) + 0xA282EAD8u;
}

/* The witness itself. */
static void test_checksum_vectors(void **state) { /* RFC 3720, appendix B.4; the last is the usual
                                                     check value of the polynomial */
  unsigned char bytes[32];
  memset(bytes, 0, 32);
  assert_true(crc32c(bytes, 32) == 0x8A9136AAu);
  memset(bytes, 0xFF, 32);
  assert_true(crc32c(bytes, 32) == 0x62A8AB43u);
  for (int i = 0; i < 32; i++) bytes[i] = (unsigned char)i;
  assert_true(crc32c(bytes, 32) == 0x46DD794Eu);
  for (int i = 0; i < 32; i++) bytes[i] = (unsigned char)(31 - i);
  assert_true(crc32c(bytes, 32) == 0x113FDB5Cu);
  assert_true(crc32c("123456789", 9) == 0xE3069283u);
  assert_true(crc32c("", 0) == 0);
}

static uint64_t little(const unsigned char *p, int n) {
  uint64_t v = 0;
  for (int i = n; i--;) v = v << 8 | p[i];
  return v;
}

/* The K-th record's message, with its frame checked. */
static const unsigned char *record(const cz_buf *file, int k, size_t *n) {
  const unsigned char *p = (const unsigned char *)file->data, *end = p + file->len;
  for (;; k--) {
    assert_true(end - p >= 16);
    *n = (size_t)little(p, 8);
    assert_true((size_t)(end - p) >= 16 + *n);
    assert_true(little(p + 8, 4) == masked(p, 8));
    assert_true(little(p + 12 + *n, 4) == masked(p + 12, *n));
    if (!k) return p + 12;
    p += 16 + *n;
  }
}

static int event_files(char names[][512], const char *folder) {
  DIR *d = opendir(folder);
  int n = 0;
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d));)
    if (!strncmp(e->d_name, "events.out.tfevents.", 20))
      snprintf(names[n++], 512, "%s/%s", folder, e->d_name);
  closedir(d);
  if (n == 2 && strcmp(names[0], names[1]) > 0) {
    char swap[512];
    memcpy(swap, names[0], 512), memcpy(names[0], names[1], 512), memcpy(names[1], swap, 512);
  }
  return n;
}

static void test_frames_and_messages(void **state) {
  char names[8][512];
  assert_int_equal(make_folder(state), 0);
  cz_events *w = NULL;
  assert_int_equal(cz_events_open(&w, folder(), 0), CZ_OK);
  assert_int_equal(cz_events_scalar(w, "loss", 300, 1.5), CZ_OK);
  assert_int_equal(cz_events_close(&w), CZ_OK);
  assert_null(w);
  assert_int_equal(cz_events_open(&w, folder(), 7), CZ_OK);
  assert_int_equal(cz_events_close(&w), CZ_OK);
  assert_int_equal(event_files(names, folder()),
                   2); /* within one second, and still two names in the right order */
  cz_buf file = {0}, second = {0};
  size_t n;
  assert_int_equal(cz_fs_read(names[0], &file), CZ_OK);
  assert_int_equal(cz_fs_read(names[1], &second), CZ_OK);
  const unsigned char *m = record(&file, 0, &n);
  assert_true(n == 26 && m[0] == 0x09 &&
              !memcmp(m + 9,
                      "\x10\x00\x1A\x0D"
                      "brain.Event:2",
                      17));
  m = record(&file, 1, &n);
  assert_true(n == 15 && !memcmp(m + 9, "\x10\x00\x3A\x02\x08\x01", 6));
  m = record(&file, 2, &n); /* step 300, summary { value { tag: "loss" simple_value: 1.5 } } */
  assert_true(
      n == 27 &&
      !memcmp(m + 9, "\x10\xAC\x02\x2A\x0D\x0A\x0B\x0A\x04loss\x15\x00\x00\xC0\x3F", 18 - 0));
  m = record(&second, 1, &n);
  assert_true(!memcmp(m + 9, "\x10\x07\x3A\x02\x08\x01", 6));
  cz_buf_free(&file), cz_buf_free(&second);
  assert_int_equal(drop_folder(state), 0);
  assert_int_equal(cz_events_open(&w, "/proc/nowhere", 0), CZ_EIO);
  assert_null(w);
  assert_int_equal(cz_events_close(&w), CZ_OK);
}

static void must(cz_status st) {
  if (st == CZ_OK) return;
  fprintf(stderr, "%s\n", cz_error_message());
  exit(1);
}

/* Steps 1 to 20, killed in the middle of a record, resumed after step 12 with other
 * values up to 25. */
static int write_sample(const char *folder) {
  cz_events *w = NULL;
  char names[8][512];
  must(cz_events_open(&w, folder, 1));
  for (int s = 1; s <= 20; s++) must(cz_events_scalar(w, "train/loss", s, 1.0 / s));
  must(cz_events_scalar(w, "eval/accuracy", 10, 0.5));
  must(cz_events_scalar(w, "eval/accuracy", 20, 0.75));
  must(cz_events_close(&w));
  cz_buf file = {0};
  if (event_files(names, folder) != 1) return 1;
  must(cz_fs_read(names[0], &file));
  if (truncate(names[0], (off_t)file.len - 7)) return 1;
  cz_buf_free(&file);
  must(cz_events_open(&w, folder, 13));
  for (int s = 13; s <= 25; s++) must(cz_events_scalar(w, "train/loss", s, 100.0 + s));
  must(cz_events_scalar(w, "eval/accuracy", 20, 0.875));
  must(cz_events_close(&w));
  return 0;
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_checksum_vectors),
                                     cmocka_unit_test(test_frames_and_messages)};
  return argc > 1 ? write_sample(argv[1]) : cmocka_run_group_tests(tests, NULL, NULL);
}
