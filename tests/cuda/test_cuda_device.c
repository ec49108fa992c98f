/* The CUDA device's table over a fake card: memory, the rings of pinned memory, tickets, events,
 * and why a card is refused. */
#include "card.h"

#include <stdio.h>
#include <stdlib.h>

static void describes(void **state) {
  static const char libraries[] = "CUDA runtime 13.0, cuBLASLt 13.1.0";
  cz_device_info info;
  new_card();
  cz_device *d = open_card();
  assert_string_equal(d->name, "cuda");
  assert_string_equal(d->processor, "Fake H100, compute 9.0, cuBLASLt 13.1.0");
  assert_false(d->host_memory);
  assert_int_equal(d->real, CZ_F32);
  OK(d->info(d, &info));
  assert_string_equal(info.name, "Fake H100");
  assert_string_equal(info.capability, "9.0");
  assert_non_null(strstr(info.driver, "CUDA 13.0"));
  assert_memory_equal(info.libraries, libraries, strlen(libraries)); /* cuDNN may follow */
  assert_true(info.memory == (int64_t)card->memory && info.cores == 132);
  close_card(&d);
  card->cards = 3;
  d = open_card();
  OK(d->info(d, &info));
  assert_string_equal(info.name, "Fake H100, the first of 3");
  close_card(&d);
}

static void refused(const char *why) {
  cz_device *d;
  FAILS(cz_device_open(&d, "cuda"), CZ_EUSAGE, why);
  assert_null(d);
  assert_int_equal(card->streams + card->handles + card->pinned, 0);
}

static void refuses_cards(void **state) {
  new_card();
  card->driver = 0;
  refused("libcloze_cuda.so: there is no NVIDIA driver: libcuda.so.1 was not found");
  card->driver = 12040;
  refused("the NVIDIA driver is too old: it is for CUDA 12.4, this module needs one for 13.0");
  card->driver = 13020;
  card->cards = 0;
  refused("there is no NVIDIA card");
  assert_int_equal(setenv("CUDA_VISIBLE_DEVICES", "7", 1), 0);
  refused("there is no NVIDIA card: CUDA_VISIBLE_DEVICES is 7");
  assert_int_equal(unsetenv("CUDA_VISIBLE_DEVICES"), 0);
  card->cards = 1, card->major = 7, card->minor = 5, card->card = "Fake T4";
  refused("the Fake T4 is too old: it has compute capability 7.5, 8.0 is needed");
  card->major = 9;
  card->library = 120600;
  refused("cuBLASLt has version 12, this module was built with 13");
}

static void memory(void **state) {
  new_card();
  cz_device *d = open_card();
  unsigned char *p, *q, back[300];
  OK(cz_device_alloc(d, &p, sizeof back));
  OK(cz_device_alloc(d, &q, 0));
  assert_true((uintptr_t)p % 256 == 0 && q != NULL);
  OK(d->read(d, back, p, sizeof back));
  for (size_t i = 0; i < sizeof back; i++) assert_int_equal(back[i], 0);
  OK(d->fill(d, p, 7, 200));
  OK(d->copy(d, p + 250, p, 50));
  OK(d->read(d, back, p, sizeof back));
  for (size_t i = 0; i < sizeof back; i++) assert_int_equal(back[i], i < 200 || i >= 250 ? 7 : 0);
  OK(d->fill(d, p, 1, 0));
  OK(d->copy(d, p, q, 0));
  OK(d->write(d, p, back, 0));
  OK(d->read(d, back, p, 0));
  cz_device_free(d, &p, sizeof back);
  cz_device_free(d, &q, 0);
  close_card(&d);
}

static void no_memory(void **state) {
  new_card();
  cz_device *d = open_card();
  void *p, *q;
  card->memory = 100 << 20;
  OK(cz_device_alloc(d, &p, 60 << 20));
  FAILS(d->alloc(d, &q, 50 << 20), CZ_ENOMEM,
        "cuda: 52428800 bytes are wanted; 41943040 of the 104857600 bytes of the Fake H100 are "
        "free. Another process may hold the rest: nvidia-smi lists them");
  assert_null(q);
  float *x = floats(d, 10, 1);
  add(d, x, x, x, 10, false);
  OK(d->failed(d)); /* it was no fault of the launch, nor of the card */
  OK(d->sync(d));
  cz_device_free(d, &x, 40);
  cz_device_free(d, &p, 60 << 20);
  OK(cz_device_alloc(d, &q, 50 << 20));
  cz_device_free(d, &q, 50 << 20);
  close_card(&d);
}

static unsigned char byte_of(size_t i, int write) {
  return (unsigned char)(i * 31 + (size_t)write);
}

/* Bytes of a write were taken when it returns, whatever its size; the fake's card takes them from
 * pinned memory when somebody waits, which a slot that is used again too early does not survive. */
static void writes(void **state) {
  static const size_t sizes[] = {1, 255, 256, 4096, 300000, 1 << 20, (1 << 20) + 1, 20 << 20};
  enum { TURNS = 40, SIZES = sizeof sizes / sizeof *sizes, MOST = 20 << 20 };
  unsigned char *host = test_malloc(MOST), *to[TURNS];
  new_card();
  cz_device *d = open_card();
  for (int turn = 0; turn < TURNS; turn++) {
    const size_t n = sizes[turn % SIZES];
    OK(cz_device_alloc(d, &to[turn], n));
    for (size_t i = 0; i < n; i++) host[i] = byte_of(i, turn);
    OK(d->write(d, to[turn], host, n));
    memset(host, 0xee, n);
  }
  for (int turn = 0; turn < TURNS; turn++) {
    const size_t n = sizes[turn % SIZES];
    OK(d->read(d, host, to[turn], n));
    for (size_t i = 0; i < n; i++)
      if (host[i] != byte_of(i, turn)) fail_msg("write %d: byte %zu of %zu", turn, i, n);
    cz_device_free(d, &to[turn], n);
  }
  test_free(host);
  close_card(&d);
}

/* More small writes than the ring has pieces, and no wait between them. */
static void many_writes(void **state) {
  enum { N = 3000 };
  static int numbers[N];
  int *p;
  new_card();
  cz_device *d = open_card();
  OK(cz_device_alloc(d, &p, sizeof numbers));
  for (int i = 0; i < N; i++) OK(d->write(d, p + i, &i, sizeof i));
  OK(d->read(d, numbers, p, sizeof numbers));
  for (int i = 0; i < N; i++) assert_int_equal(numbers[i], i);
  cz_device_free(d, &p, sizeof numbers);
  close_card(&d);
}

/* A late read has its bytes when `arrived` says so and not before; it has those that were there in
 * its turn. */
static void late_reads(void **state) {
  enum { N = 1000 };
  float first[N] = {-1}, second[N] = {-1};
  uint64_t one, two;
  bool there;
  new_card();
  cz_device *d = open_card();
  float *x = floats(d, N, 1), *y = floats(d, N, 0);
  add(d, y, x, x, N, false);
  OK(d->read_later(d, first, y, sizeof first, &one));
  add(d, y, x, y, N, false);
  OK(d->read_later(d, second, y, sizeof second, &two));
  OK(d->arrived(d, one, false, &there));
  assert_false(there);
  assert_true(first[0] == -1 && card->kernels == 0);
  OK(d->failed(d));
  OK(d->arrived(d, one, true, &there));
  assert_true(there && card->kernels == 1 && second[0] == -1); /* not more than was awaited */
  for (int i = 0; i < N; i++) assert_true(first[i] == 2 * (float)(i + 1));
  OK(d->arrived(d, two, false, &there));
  assert_false(there);
  add(d, x, x, x, 1, false); /* that a read has not arrived is no error of a launch */
  OK(d->failed(d));
  OK(d->sync(d));
  OK(d->arrived(d, two, false, &there));
  assert_true(there);
  for (int i = 0; i < N; i++) assert_true(second[i] == 3 * (float)(i + 1));
  OK(d->arrived(d, one, false, &there));
  assert_true(there);
  FAILS(d->arrived(d, two + 1, true, &there), CZ_EINVAL, "is awaited, there were");
  cz_device_free(d, &x, N * sizeof *x);
  cz_device_free(d, &y, N * sizeof *y);
  close_card(&d);
}

/* Reads that nobody asks for: the ring takes the oldest back, and none is lost. */
static void unasked_reads(void **state) {
  enum { READS = 100, BYTES = 300 << 10 };
  unsigned char *p, *host = test_malloc((size_t)READS * BYTES);
  uint64_t ticket[READS];
  bool there;
  new_card();
  cz_device *d = open_card();
  OK(cz_device_alloc(d, &p, BYTES));
  for (int i = 0; i < READS; i++) {
    OK(d->fill(d, p, i, BYTES));
    OK(d->read_later(d, host + (size_t)i * BYTES, p, BYTES, &ticket[i]));
    if (i) assert_true(ticket[i] > ticket[i - 1]);
  }
  for (int i = READS - 1; i >= 0; i--) {
    OK(d->arrived(d, ticket[i], true, &there));
    assert_true(there);
    for (size_t j = 0; j < BYTES; j++)
      if (host[(size_t)i * BYTES + j] != i) fail_msg("read %d: byte %zu", i, j);
  }
  cz_device_free(d, &p, BYTES);
  test_free(host);
  close_card(&d);
}

/* The same of more small ones than the ring has pieces. */
static void many_reads(void **state) {
  enum { N = 1000 };
  static int numbers[N], got[N];
  uint64_t ticket;
  bool there;
  int *p;
  new_card();
  cz_device *d = open_card();
  for (int i = 0; i < N; i++) numbers[i] = i;
  OK(cz_device_alloc(d, &p, sizeof numbers));
  OK(d->write(d, p, numbers, sizeof numbers));
  for (int i = 0; i < N; i++) OK(d->read_later(d, &got[i], p + i, sizeof *p, &ticket));
  OK(d->arrived(d, ticket, true, &there));
  assert_true(there);
  assert_memory_equal(got, numbers, sizeof got);
  cz_device_free(d, &p, sizeof numbers);
  close_card(&d);
}

/* What a failed read had put into the ring is not written to its reader's memory later. */
static void failed_read(void **state) {
  enum { BYTES = 3 << 20 };
  unsigned char *p, *host = test_malloc(BYTES + 100);
  uint64_t ticket;
  bool there;
  new_card();
  cz_device *d = open_card();
  OK(cz_device_alloc(d, &p, BYTES));
  memset(host, 5, BYTES + 100);
  FAILS(d->read_later(d, host, p, BYTES + 100, &ticket), CZ_EIO, "cudaErrorInvalidValue");
  OK(d->sync(d));
  OK(d->arrived(d, ticket, true, &there));
  for (size_t i = 0; i < BYTES + 100; i++) assert_int_equal(host[i], 5);
  OK(d->read(d, host, p, BYTES));
  for (size_t i = 0; i < BYTES; i++) assert_int_equal(host[i], 0);
  cz_device_free(d, &p, BYTES);
  test_free(host);
  close_card(&d);
}

static void events(void **state) {
  enum { N = 10 };
  cz_event *first, *last;
  new_card();
  cz_device *d = open_card();
  float *x = floats(d, N, 1), *y = floats(d, N, 0);
  OK(d->event(d, &first));
  OK(d->event(d, &last));
  FAILS(d->await(d, first), CZ_EINVAL, "an event is awaited that was not recorded");
  for (int turn = 1; turn <= 2; turn++) { /* an event may be recorded again */
    OK(d->record(d, first));
    for (int i = 0; i < turn; i++) add(d, y, x, x, N, false);
    OK(d->record(d, last));
    add(d, y, x, x, N, false);
    OK(d->await(d, last));
    assert_true(card->waiting == 1); /* what was called later has not run */
    const double seconds = d->between(d, first, last);
    if (!(seconds > turn * 0.99e-3 && seconds < turn * 1.01e-3)) fail_msg("%g s", seconds);
    OK(d->sync(d));
  }
  d->event_free(d, &first);
  d->event_free(d, &last);
  assert_null(first);
  d->event_free(d, &first);
  cz_device_free(d, &x, N * sizeof *x);
  cz_device_free(d, &y, N * sizeof *y);
  close_card(&d);
}

/* The memory of a kernel that waits is not given back before it has run. */
static void releases(void **state) {
  enum { N = 100 };
  new_card();
  cz_device *d = open_card();
  float *x = floats(d, N, 1), *y = floats(d, N, 0);
  add(d, y, x, x, N, false);
  cz_device_free(d, &x, N * sizeof *x);
  assert_int_equal(card->kernels, 1);
  OK(d->sync(d));
  cz_device_free(d, &y, N * sizeof *y);
  close_card(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(describes),  cmocka_unit_test(refuses_cards), cmocka_unit_test(memory),
      cmocka_unit_test(no_memory),  cmocka_unit_test(writes),        cmocka_unit_test(many_writes),
      cmocka_unit_test(late_reads), cmocka_unit_test(unasked_reads), cmocka_unit_test(failed_read),
      cmocka_unit_test(many_reads), cmocka_unit_test(events),        cmocka_unit_test(releases)};
  return cmocka_run_group_tests_name("cuda device", tests, load_card, unload_card);
}
