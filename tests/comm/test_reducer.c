/* The reduction of gradients: its bits against a serial tree that this file adds on
 * its own, for float32 and float64, any bucket size, any chunks of announcements, on
 * memory that the host can address and on memory that it can't; and misuse. */
#include "comm_test.h"

#include "comm/reducer.h"
#include "comm/sum_tree.h"
#include "device/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Devices whose memory is the host's and is not. The second one's holds every byte inverted,
 * so that whoever reads or writes it in place gets numbers that are wrong. */
static void invert(void *to, const void *from, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) ((uint8_t *)to)[i] = (uint8_t) ~((const uint8_t *)from)[i];
}

static size_t host_bytes; /* that write and read of either device have moved */

static cz_status distant_write(cz_device *d, void *to, const void *host, size_t bytes) {
  host_bytes += bytes;
  invert(to, host, bytes);
  return CZ_OK;
}

static cz_status distant_read(cz_device *d, void *host, const void *from, size_t bytes) {
  host_bytes += bytes;
  invert(host, from, bytes);
  return CZ_OK;
}

static cz_status near_write(cz_device *d, void *to, const void *host, size_t bytes) {
  memcpy(to, host, bytes);
  return CZ_OK;
}

static cz_status near_read(cz_device *d, void *host, const void *from, size_t bytes) {
  memcpy(host, from, bytes);
  return CZ_OK;
}

static size_t copied_bytes;

static cz_status copy(cz_device *d, void *to, const void *from, size_t bytes) {
  copied_bytes += bytes;
  memcpy(to, from, bytes);
  return CZ_OK;
}

static cz_status give(cz_device *d, void **out, size_t bytes) {
  *out = calloc(1, bytes + 1);
  return *out ? CZ_OK : CZ_FAIL(CZ_ENOMEM, "no memory");
}

static void take(cz_device *d, void *p, size_t bytes) { free(p); }

static cz_status sync_nothing(cz_device *d) { return CZ_OK; }

static cz_device near = {.name = "near",
                         .host_memory = true,
                         .alloc = give,
                         .release = take,
                         .write = near_write,
                         .read = near_read,
                         .copy = copy,
                         .sync = sync_nothing},
                 distant = {.name = "distant",
                            .alloc = give,
                            .release = take,
                            .write = distant_write,
                            .read = distant_read,
                            .copy = copy,
                            .sync = sync_nothing};

/* What adds on them, numbers of either size; the `fail_at`-th call fails. */
typedef struct sums {
  cz_device *device;
  size_t bytes;
  int calls, fail_at;
} sums;

static cz_status add(void *self, void *into, const void *from, int64_t first, int64_t n) {
  sums *s = self;
  size_t size = (size_t)n * s->bytes;
  char *to = (char *)into + (size_t)first * s->bytes;
  const char *of = (const char *)from + (size_t)first * s->bytes;
  bool inverted = s->device == &distant;
  if (++s->calls == s->fail_at) return CZ_FAIL(CZ_EIO, "addition %d fails", s->calls);
  char *a = malloc(size + 1), *b = malloc(size + 1);
  inverted ? invert(a, to, size) : (void)memcpy(a, to, size);
  inverted ? invert(b, of, size) : (void)memcpy(b, of, size);
  for (int64_t i = 0; i < n; i++)
    if (s->bytes == 4)
      ((float *)a)[i] += ((float *)b)[i];
    else
      ((double *)a)[i] += ((double *)b)[i];
  inverted ? invert(to, a, size) : (void)memcpy(to, a, size);
  free(a);
  free(b);
  return CZ_OK;
}

/* Element I of shard S: any magnitude, so that every change of order changes bits. */
static double element(int64_t s, int64_t i, bool exact) {
  cz_stream r;
  cz_stream_init(&r, seed, exact ? "exact" : "wild", (uint32_t)s, (uint32_t)i);
  if (exact) return (double)cz_stream_below(&r, 2001) - 1000;
  return ldexp(2 * cz_stream_uniform(&r) - 1, (int)cz_stream_below(&r, 40) - 20);
}

static void store(void *out, int64_t i, double x, size_t bytes) {
  if (bytes == 4)
    ((float *)out)[i] = (float)x;
  else
    ((double *)out)[i] = x;
}

/* The sum of N shards from FIRST on, by the definition: the left half is the largest
 * power of two below N. */
static double serial_tree(int64_t first, int64_t n, int64_t i, bool exact, size_t bytes) {
  if (n == 1) return bytes == 4 ? (float)element(first, i, exact) : element(first, i, exact);
  int64_t half = 1;
  while (half * 2 < n) half *= 2;
  double a = serial_tree(first, half, i, exact, bytes),
         b = serial_tree(first + half, n - half, i, exact, bytes);
  return bytes == 4 ? (float)a + (float)b : a + b;
}

typedef struct plan {
  int64_t elements, shards, chunk;
  size_t bytes, bucket_bytes;
  bool exact, forward, distant;
} plan;

/* Announces all elements in chunks of random length, from either end, the same on all
 * ranks. */
static void announce(cz_reducer *r, const plan *p, cz_stream *s) {
  for (int64_t done = 0; done < p->elements;) {
    int64_t left = p->elements - done, n = (int64_t)cz_stream_below(s, (uint64_t)p->chunk) + 1;
    if (n > left) n = left;
    CHECK(cz_reducer_ready(r, p->forward ? done : left - n, n) == CZ_OK);
    done += n;
    if (cz_stream_below(s, 3) == 0) CHECK(cz_reducer_ready(r, 0, 0) == CZ_OK);
  }
}

/* Alone nothing goes through the host, and one shard is not even copied; with peers each byte
 * that the host cannot address comes and goes once. */
static void check_traffic(const plan *p, int64_t own, size_t moved, size_t copied) {
  size_t all = (size_t)p->elements * p->bytes;
  CHECK(moved == (world->size > 1 && p->distant ? 2 * all : 0));
  CHECK(copied == (size_t)(own / 2) * all); /* every second shard but the last begins a sum */
}

/* One step into GRADIENT, memory of DEVICE, through REDUCER. HOST has room for as much. */
static void step(cz_reducer *r, cz_device *device, void *gradient, void *host, const plan *p,
                 cz_stream *s) {
  int64_t first, own;
  CHECK(cz_comm_shards(world, &first, &own, p->shards) == CZ_OK);
  size_t fed = (size_t)(p->distant ? own * p->elements : 0) * p->bytes;
  host_bytes = copied_bytes = 0;
  for (int64_t k = 0; k < own; k++) {
    for (int64_t i = 0; i < p->elements; i++)
      store(host, i, element(first + k, i, p->exact), p->bytes);
    CHECK(device->write(device, gradient, host, (size_t)p->elements * p->bytes) == CZ_OK);
    if (k + 1 < own) CHECK(cz_reducer_push(r) == CZ_OK);
  }
  announce(r, p, s);
  CHECK(cz_reducer_finish(r) == CZ_OK);
  check_traffic(p, own, host_bytes - fed, copied_bytes);
  CHECK(device->read(device, host, gradient, (size_t)p->elements * p->bytes) == CZ_OK);
}

static void run(const plan *p, uint32_t number) {
  cz_stream s;
  cz_reducer *r;
  cz_device *device = p->distant ? &distant : &near;
  sums adds = {.device = device, .bytes = p->bytes};
  const cz_adder adder = {.device = device, .self = &adds, .add = add};
  cz_stream_init(&s, seed, "announce", number, 0);
  void *gradient = calloc((size_t)p->elements + 1, p->bytes),
       *host = calloc((size_t)p->elements + 1, p->bytes),
       *expected = calloc((size_t)p->elements + 1, p->bytes);
  for (int64_t i = 0; i < p->elements; i++)
    store(expected, i, serial_tree(0, p->shards, i, p->exact, p->bytes), p->bytes);
  CHECK(cz_reducer_create(&r, world, &adder, gradient, p->elements, p->bytes, p->shards,
                          p->bucket_bytes) == CZ_OK);
  for (int k = 0; k < 2; k++) { /* a second step with what the first left behind */
    step(r, device, gradient, host, p, &s);
    CHECK(memcmp(host, expected, (size_t)p->elements * p->bytes) == 0);
  }
  cz_reducer_destroy(&r);
  CHECK(!r);
  free(expected);
  free(host);
  free(gradient);
}

static plan random_plan(cz_stream *s) {
  static const int64_t powers[] = {1, 2, 4, 8}, alone[] = {1, 2, 3, 5, 6, 7, 8, 11};
  int64_t shards =
      world->size == 1 ? alone[cz_stream_below(s, 8)] : powers[cz_stream_below(s, 4)] * world->size;
  plan p = {.elements = (int64_t)cz_stream_below(s, 1500),
            .shards = shards,
            .bytes = cz_stream_below(s, 2) ? 4 : 8};
  p.chunk = (int64_t)cz_stream_below(s, 400) + 1;
  /* At most 64 buckets: each is a message that every rank waits for, and ranks that share a
   * core wait for their turn. Few elements still go one by one. */
  p.bucket_bytes = p.bytes * (size_t)(1 + p.elements / 64) + cz_stream_below(s, 1200);
  p.forward = cz_stream_below(s, 2);
  p.distant = cz_stream_below(s, 2);
  return p;
}

void test_sums_equal_the_serial_tree(void **state) {
  cz_stream s;
  cz_stream_init(&s, seed, "plans", 0, 0);
  for (uint32_t k = 0; k < 25; k++) {
    plan p = random_plan(&s);
    run(&p, k);
  }
  plan large = {.elements = 70001,
                .shards = 2 * world->size,
                .bytes = 4,
                .chunk = 9000,
                .bucket_bytes = 40000}; /* messages above the eager limit, a queue */
  run(&large, 1000);
  large.distant = true;
  run(&large, 1001);
}

void test_sums_exact(void **state) {
  plan p = {.elements = 997,
            .shards = 4 * world->size,
            .bytes = 4,
            .chunk = 100,
            .bucket_bytes = 256,
            .exact = true,
            .forward = true};
  run(&p, 2000);
  for (int64_t i = 0; i < 50;
       i++) { /* the reference itself: whole numbers add exactly in any order */
    double sum = 0;
    for (int64_t k = p.shards - 1; k >= 0; k--) sum += element(k, i, true);
    CHECK(sum == serial_tree(0, p.shards, i, true, 4));
  }
}

/* Twelve shards: 1, 3 and (with four a rank) 3 ranks; eight: 1, 2, 4. Each run compares
 * with the same serial tree, so all agree. */
void test_shards_do_not_see_ranks(void **state) {
  int64_t shards = world->size == 3 ? 12 : 8;
  plan p = {.elements = 3001, .shards = shards, .bytes = 8, .chunk = 500, .bucket_bytes = 4096};
  if (shards % world->size == 0) run(&p, 3000);
}

/* The order written out, and that the order matters for these numbers at all. */
void test_tree_order(void **state) {
  double x[8];
  int differs = 0;
  for (int64_t i = 0; i < 200; i++) {
    for (int64_t k = 0; k < 8; k++) x[k] = element(k, i, false);
    CHECK(serial_tree(0, 8, i, false, 8) ==
          ((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + (x[6] + x[7])));
    CHECK(serial_tree(0, 7, i, false, 8) ==
          ((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + x[6]));
    CHECK(serial_tree(0, 6, i, false, 8) == ((x[0] + x[1]) + (x[2] + x[3])) + (x[4] + x[5]));
    CHECK(serial_tree(0, 3, i, false, 8) == (x[0] + x[1]) + x[2]);
    differs += serial_tree(0, 4, i, false, 8) != ((x[0] + x[1]) + x[2]) + x[3];
  }
  CHECK(differs > 20);
}

void test_misuse(void **state) {
  cz_comm *alone;
  cz_reducer *r = NULL;
  float g[100] = {0};
  sums adds = {.device = &near, .bytes = 4};
  const cz_adder adder = {.device = &near, .self = &adds, .add = add};
  CHECK(cz_comm_split(world, &alone, world->rank) == CZ_OK);
  CHECK(cz_reducer_create(&r, alone, &adder, g, 100, 4, 2, 2) == CZ_EINVAL &&
        cz_reducer_create(&r, alone, &adder, g, -1, 4, 2, 64) == CZ_EINVAL);
  CHECK(cz_reducer_create(&r, alone, &adder, g, 100, 4, 0, 64) == CZ_EUSAGE && !r);
  CHECK(cz_reducer_create(&r, alone, &adder, g, 100, 4, 2, 64) == CZ_OK);
  CHECK(cz_reducer_ready(r, 0, 100) == CZ_EINVAL && strstr(cz_error_message(), "0 of 1 shards"));
  CHECK(cz_reducer_push(r) == CZ_OK && cz_reducer_push(r) == CZ_EINVAL);
  CHECK(cz_reducer_ready(r, 90, 11) == CZ_EINVAL && strstr(cz_error_message(), "[90, 101)"));
  CHECK(cz_reducer_ready(r, -1, 1) == CZ_EINVAL && cz_reducer_ready(r, 0, INT64_MAX) == CZ_EINVAL);
  CHECK(cz_reducer_ready(r, 0, 50) == CZ_OK && cz_reducer_finish(r) == CZ_EINVAL &&
        strstr(cz_error_message(), "only 2 "));
  CHECK(cz_reducer_ready(r, 0, 10) == CZ_EINVAL && strstr(cz_error_message(), "twice"));
  cz_reducer_destroy(&r);
  CHECK(cz_reducer_create(&r, alone, &adder, g, 16, 4, 1, 64) == CZ_OK);
  CHECK(cz_reducer_ready(r, 0, 8) == CZ_OK &&
        cz_reducer_ready(r, 0, 8) == CZ_EINVAL); /* as many as there are, but not all of them */
  cz_reducer_destroy(&r);
  for (adds.fail_at = 1; adds.fail_at <= 2; adds.fail_at++) { /* the device fails in either place */
    adds.calls = 0;
    CHECK(cz_reducer_create(&r, alone, &adder, g, 16, 4, 4, 64) == CZ_OK);
    CHECK(cz_reducer_push(r) == CZ_OK);
    bool failed = cz_reducer_push(r) == CZ_EIO;
    CHECK(failed == (adds.fail_at == 1));
    if (!failed) CHECK(cz_reducer_push(r) == CZ_OK && cz_reducer_ready(r, 0, 16) == CZ_EIO);
    CHECK(strstr(cz_error_message(), "fails"));
    cz_reducer_destroy(&r);
  }
  cz_comm_close(&alone);
}
