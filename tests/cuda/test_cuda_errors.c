/* What the CUDA device says when something goes wrong on a fake card: a launch that is refused, a
 * kernel that fails while it runs, and all calls behind it. */
#include "card.h"

#include <stdio.h>
#include <stdlib.h>

enum { N = 64, BYTES = N * sizeof(float) };

typedef struct sums {
  cz_device *d;
  float *x, *y;
} sums;

static sums open_sums(void) {
  sums s = {.d = open_card()};
  s.x = floats(s.d, N, 1), s.y = floats(s.d, N, 0);
  OK(s.d->sync(s.d));
  return s;
}

/* A card that failed gives nothing back before the process ends: what is left is not asked for. */
static void close_sums(sums *s, bool failed) {
  cz_device_free(s->d, &s->x, BYTES);
  cz_device_free(s->d, &s->y, BYTES);
  if (!failed) close_card(&s->d);
  cz_device_close(&s->d);
  assert_int_equal(card->pinned + card->events + card->streams + card->handles, 0);
  new_card();
}

static void forward(sums *s) { add(s->d, s->y, s->x, s->x, N, false); }
static void backward(sums *s) { add(s->d, s->y, s->x, s->x, N, true); }

static void refused_launch(void **state) {
  new_card();
  sums s = open_sums();
  OK(s.d->failed(s.d));
  card->refuse_launch = true;
  forward(&s);
  FAILS(s.d->failed(s.d), CZ_EIO,
        "cuda: the kernel add forward was not launched: cudaErrorLaunchOutOfResources (words of "
        "the driver)");
  OK(s.d->failed(s.d)); /* it is told once */
  OK(s.d->sync(s.d));
  assert_int_equal(card->kernels, 0);
  backward(&s);
  OK(s.d->failed(s.d)); /* nor is it the next launch's */
  card->refuse_launch = true;
  backward(&s);
  FAILS(s.d->sync(s.d), CZ_EIO, "the kernel add backward was not launched");
  OK(s.d->sync(s.d));
  close_sums(&s, false);
}

static const char words[] =
    "cuda: cudaErrorIllegalAddress (words of the driver) in one of the 3 launches since the card "
    "was known to be well, the first add backward, the last add forward; with CZ_CUDA_SYNC=1 in "
    "the environment every launch is waited for, and the message names the one";

static cz_status by_sync(sums *s) { return s->d->sync(s->d); }

static cz_status by_read(sums *s) {
  float back[N];
  return s->d->read(s->d, back, s->y, BYTES);
}

static cz_status by_ticket(sums *s) {
  static float back[N];
  uint64_t ticket;
  bool there;
  OK(s->d->read_later(s->d, back, s->y, BYTES, &ticket));
  return s->d->arrived(s->d, ticket, true, &there);
}

static cz_status by_event(sums *s) {
  cz_event *event;
  OK(s->d->event(s->d, &event));
  OK(s->d->record(s->d, event));
  cz_status st = s->d->await(s->d, event);
  s->d->event_free(s->d, &event);
  return st;
}

/* Everything behind the error fails with its words, and nothing hangs. */
static void dead(sums *s) {
  void *p = s->x;
  float host[N] = {0};
  uint64_t ticket;
  bool there;
  cz_event *event;
  cz_device *d = s->d;
  FAILS(d->failed(d), CZ_EIO, words);
  FAILS(d->sync(d), CZ_EIO, words);
  FAILS(d->write(d, p, host, BYTES), CZ_EIO, words);
  FAILS(d->read(d, host, p, BYTES), CZ_EIO, words);
  FAILS(d->read_later(d, host, p, BYTES, &ticket), CZ_EIO, words);
  FAILS(d->arrived(d, 0, true, &there), CZ_EIO, words);
  FAILS(d->fill(d, p, 0, BYTES), CZ_EIO, words);
  FAILS(d->copy(d, p, s->y, BYTES), CZ_EIO, words);
  FAILS(d->event(d, &event), CZ_EIO, words);
  FAILS(d->alloc(d, &p, 100), CZ_EIO, words);
  forward(s);
  FAILS(d->failed(d), CZ_EIO, words);
}

static void failing_kernel(void **state) {
  static cz_status (*const ways[])(sums *) = {by_sync, by_read, by_ticket, by_event};
  for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
    new_card();
    sums s = open_sums();
    forward(&s);
    OK(s.d->sync(s.d)); /* what was before is above suspicion */
    card->fail_at = 3;
    backward(&s);
    backward(&s);
    forward(&s);
    OK(s.d->failed(s.d));
    FAILS(ways[i](&s), CZ_EIO, words);
    dead(&s);
    close_sums(&s, true);
  }
}

/* Points that are known to be good: an event, a read. */
static void narrows(void **state) {
  float back[N];
  cz_event *event;
  new_card();
  sums s = open_sums();
  OK(s.d->event(s.d, &event));
  for (int i = 0; i < 5; i++) forward(&s);
  OK(s.d->record(s.d, event));
  backward(&s);
  backward(&s);
  card->fail_at = 7;
  OK(s.d->await(s.d, event));
  FAILS(s.d->sync(s.d), CZ_EIO, "in one of the 2 launches since the card was known to be well");
  s.d->event_free(s.d, &event);
  close_sums(&s, true);
  s = open_sums();
  card->kernels = 0;
  forward(&s);
  OK(s.d->read(s.d, back, s.y, BYTES));
  card->fail_at = 2;
  backward(&s);
  FAILS(s.d->sync(s.d), CZ_EIO,
        "in the kernel add backward, the only launch since the card was known to be well");
  close_sums(&s, true);
}

static void long_list(void **state) {
  new_card();
  sums s = open_sums();
  card->fail_at = 1;
  backward(&s);
  for (int i = 0; i < 299; i++) forward(&s);
  FAILS(s.d->sync(s.d), CZ_EIO,
        "in one of the 300 launches since the card was known to be well, the first of the last 256 "
        "add forward, the last add forward");
  close_sums(&s, true);
}

/* The launch that is waited for is the one. */
static void exact(void **state) {
  new_card();
  assert_int_equal(setenv("CZ_CUDA_SYNC", "1", 1), 0);
  sums s = open_sums();
  forward(&s);
  OK(s.d->failed(s.d));
  card->fail_at = 2;
  backward(&s);
  FAILS(s.d->failed(s.d), CZ_EIO,
        "cuda: cudaErrorIllegalAddress (words of the driver) in the kernel add backward");
  forward(&s);
  FAILS(s.d->sync(s.d), CZ_EIO, "in the kernel add backward");
  close_sums(&s, true);
}

/* A value that says neither is no way to say that launches are not waited for. */
static void sync_by_another_word(void **state) {
  cz_device *d;
  new_card();
  assert_int_equal(setenv("CZ_CUDA_SYNC", "true", 1), 0);
  FAILS(cz_device_open(&d, "cuda"), CZ_EUSAGE, "cuda: CZ_CUDA_SYNC is 'true'; it takes 0 and 1");
  assert_int_equal(setenv("CZ_CUDA_SYNC", "0", 1), 0);
  d = open_card();
  close_card(&d);
  new_card();
}

/* What memory was wanted for is said of a card that is full, and of no other error. */
static void no_memory_for(void **state) {
  void *p = NULL;
  new_card();
  sums s = open_sums();
  card->memory = 1000000;
  FAILS(cz_device_alloc_for(s.d, &p, 1200000, "parameters"), CZ_ENOMEM, "(1.2 MB for parameters)");
  card->fail_at = 1;
  forward(&s);
  FAILS(s.d->sync(s.d), CZ_EIO, "cudaErrorIllegalAddress");
  assert_int_equal(cz_device_alloc_for(s.d, &p, 100, "parameters"), CZ_EIO);
  assert_non_null(strstr(cz_error_message(), "cudaErrorIllegalAddress"));
  assert_null(strstr(cz_error_message(), "parameters"));
  cz_error_clear();
  close_sums(&s, true);
}

/* An error of a call itself is told as that, and the card goes on. */
static void own_error(void **state) {
  static const float host[N + 1024];
  new_card();
  sums s = open_sums();
  FAILS(s.d->write(s.d, s.x + N, host, BYTES + 4096), CZ_EIO,
        "cuda: copying 4352 bytes to the card: cudaErrorInvalidValue (words of the driver)");
  forward(&s);
  OK(s.d->failed(s.d));
  OK(s.d->sync(s.d));
  close_sums(&s, false);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(refused_launch), cmocka_unit_test(failing_kernel),
      cmocka_unit_test(narrows),        cmocka_unit_test(long_list),
      cmocka_unit_test(exact),          cmocka_unit_test(own_error),
      cmocka_unit_test(no_memory_for),  cmocka_unit_test(sync_by_another_word)};
  return cmocka_run_group_tests_name("cuda errors", tests, load_card, unload_card);
}
