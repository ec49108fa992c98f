/* Which algorithm the CUDA device takes for a product: timed on a clock that is counted, kept in
 * this process and in a file, and never one whose sums have no order. */
#include "card.h"
#include "kernels/activation/activation.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIDE = 4096 };
enum { NONE = 0, INPLACE = 1, COMPUTE_TYPE = 2, OUTPUT_TYPE = 4 }; /* cublasLtReductionScheme_t */

static const char file_name[] = "Fake-H100.cublaslt-130100.txt";

/* [m, k] x [k, n] of bfloat16 on memory that is there. */
static cz_cuda_product product(void *x, int64_t m, int64_t n, int64_t k) {
  return (cz_cuda_product){.c = x,
                           .a = x,
                           .b = x,
                           .m = m,
                           .n = n,
                           .k = k,
                           .ldc = SIDE,
                           .lda = SIDE,
                           .ldb = SIDE,
                           .in = CZ_BF16,
                           .out = CZ_BF16,
                           .alpha = 1};
}

/* The algorithm that made such a product. */
static int made_by(cz_device *d, void *x, int64_t m, int64_t n, int64_t k) {
  const cz_cuda_product p = product(x, m, n, k);
  assert_true(multiply(d->stream, &p));
  OK(d->failed(d));
  card->last_algorithm = -1;
  OK(d->sync(d));
  return card->last_algorithm;
}

static void *matrix(cz_device *d) {
  void *x;
  OK(cz_device_alloc(d, &x, (size_t)1 << 22));
  return x;
}

static void end(cz_device *d, void *x) {
  cz_device_free(d, &x, (size_t)1 << 22);
  close_card(&d);
}

static const char *cached(void) {
  static char path[600];
  snprintf(path, sizeof path, "%s/%s", under("cache/cloze"), file_name);
  return path;
}

/* The file that is cached; static. */
static char *lines(void) {
  static char text[1 << 16];
  FILE *f = fopen(cached(), "r");
  if (!f) return strcpy(text, "");
  text[fread(text, 1, sizeof text - 1, f)] = 0;
  fclose(f);
  return text;
}

static int count(const char *text, const char *what) {
  int n = 0;
  for (; (text = strstr(text, what)); text++) n++;
  return n;
}

/* The median of five runs, so that one that is disturbed does not decide; and not the fastest when
 * its sums have no order, or when it does not run. */
static void fastest(void **state) {
  new_card();
  card->algorithms = 7;
  const fake_algorithm table[] = {
      {INPLACE, {1e-5, 1e-5}, true, 0},      {NONE, {5e-3, 5e-3}, true, 0},
      {OUTPUT_TYPE, {1e-5, 1e-5}, true, 0},  {NONE, {1e-5, 1e-5}, false, 0},
      {COMPUTE_TYPE, {3e-3, 3e-3}, true, 0}, {NONE, {1e-3, 9e-3}, true, 0},
      {NONE, {5e-3, 1e-5}, true, 0},
  };
  memcpy(card->algorithm, table, sizeof table);
  cz_device *d = open_card();
  void *x = matrix(d);
  assert_int_equal(made_by(d, x, 32, 32, 32), 5);
  const int asked = card->heuristics;
  for (int i = 0; i < 10; i++) assert_int_equal(made_by(d, x, 32, 32, 32), 5);
  assert_int_equal(card->heuristics, asked);
  for (int i = 0; i < 7; i++) card->algorithm[i].runs = i == 0 || i == 2;
  const cz_cuda_product p = product(x, 64, 64, 64);
  assert_true(multiply(d->stream, &p));
  FAILS(d->failed(d), CZ_EIO, "cuBLASLt proposes 5 algorithms for a product and runs none of them");
  end(d, x);
}

/* Short products are timed many in a row, and without what the host takes to ask for them. */
static void submission(void **state) {
  new_card();
  card->algorithm[0] = (fake_algorithm){NONE, {11e-6, 11e-6}, true, 0};
  card->algorithm[1] = (fake_algorithm){NONE, {10e-6, 10e-6}, true, 0};
  card->submission = 8e-6;
  cz_device *d = open_card();
  void *x = matrix(d);
  const uint64_t kernels = card->kernels;
  assert_int_equal(made_by(d, x, 32, 32, 32), 1);
  assert_true(card->kernels - kernels >= 3 * 5 * 19); /* 5 runs of 200 us each, and to warm up */
  end(d, x);
  assert_non_null(strstr(lines(), " us=10.00 "));
}

/* A card that begins slowly: the candidate that is timed first has no disadvantage by it. */
static void cold(void **state) {
  new_card();
  card->algorithm[0] = (fake_algorithm){NONE, {1e-3, 1e-3}, true, 0};
  card->algorithm[1] = (fake_algorithm){NONE, {2e-3, 2e-3}, true, 0};
  card->cold = 12;
  cz_device *d = open_card();
  void *x = matrix(d);
  assert_int_equal(made_by(d, x, 32, 32, 32), 0);
  end(d, x);
  assert_non_null(strstr(lines(), " us=1000.00 "));
}

/* m and k count by their class; n does not. */
static void classes(void **state) {
  new_card();
  cz_device *d = open_card();
  void *x = matrix(d);
  const struct {
    int64_t m, n, k;
    bool tunes;
  } products[] = {{100, 40, 96, true}, {128, 40, 96, false}, {97, 40, 65, false},
                  {96, 40, 96, true},  {129, 40, 96, true},  {192, 40, 80, false},
                  {100, 41, 96, true}, {1, 40, 1, true},     {16, 40, 16, false},
                  {17, 40, 16, true},  {24, 40, 3, false},   {100, 40, 97, true}};
  for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
    const int asked = card->heuristics;
    assert_int_equal(made_by(d, x, products[i].m, products[i].n, products[i].k), 1);
    if ((card->heuristics > asked) != products[i].tunes) fail_msg("product %zu", i);
  }
  end(d, x);
}

/* An algorithm that is refused for some sizes of its class: these have one of their own. */
static void own_sizes(void **state) {
  new_card();
  cz_device *d = open_card();
  void *x = matrix(d);
  assert_int_equal(made_by(d, x, 99, 40, 96), 1);
  card->algorithm[1].most_m = 100; /* the fastest, which is refused for more rows */
  card->algorithm[1].runs = false; /* and would not run there */
  assert_int_equal(made_by(d, x, 120, 40, 96), 0);
  card->algorithm[1].runs = true;
  const int asked = card->heuristics;
  assert_int_equal(made_by(d, x, 98, 40, 96), 1);
  assert_int_equal(made_by(d, x, 120, 40, 96), 0);
  assert_int_equal(card->heuristics, asked);
  end(d, x);
}

/* What one process chose the next one takes, without asking; and says what tuning took. */
static void kept(void **state) {
  cz_device_info info;
  new_card();
  new_log();
  cz_device *d = open_card();
  void *x = matrix(d);
  assert_int_equal(made_by(d, x, 32, 32, 32), 1);
  assert_int_equal(made_by(d, x, 64, 32, 32), 1);
  OK(d->info(d, &info));
  assert_non_null(strstr(info.libraries, "; 2 products tuned in "));
  end(d, x);
  assert_true(logged("cuda: 2 products tuned in "));
  assert_int_equal(count(lines(), "\n"), 2);
  assert_int_equal(strncmp(lines(),
                           "nn bf16 bf16 m=32 n=32 k=32 a=16 b=16 c=16 bias=0 epilogue=1 "
                           "adds=0 us=1000.00 algo=90a1",
                           88),
                   0);
  assert_int_equal(count(lines(), " library=130100 card=Fake H100 sum="), 2);
  card->heuristics = 0;
  card->algorithm[0].seconds[0] = card->algorithm[0].seconds[1] = 1e-6; /* would win now */
  d = open_card();
  x = matrix(d);
  assert_int_equal(made_by(d, x, 32, 32, 32), 1);
  assert_int_equal(card->heuristics, 0);
  OK(d->info(d, &info));
  assert_null(strstr(info.libraries, "tuned"));
  assert_int_equal(made_by(d, x, 64, 64, 32), 0);
  end(d, x);
  assert_int_equal(count(lines(), "\n"), 3);
}

/* Each member of the key goes through the file: a product that differs in one of them has a line of
 * its own, and the next process finds all. */
static void all_members(void **state) {
  new_card();
  const int lines_of[] = {0, 12};
  for (int again = 0; again < 2; again++) {
    cz_device *d = open_card();
    char *x = matrix(d);
    const cz_cuda_product p = product(x, 32, 32, 32);
    cz_cuda_product q[12];
    for (int i = 0; i < 12; i++) q[i] = p;
    q[1].transposed_a = true, q[2].transposed_b = true, q[3].out = CZ_F32,
    q[4].in = q[4].out = CZ_F16;
    q[5].m = 33, q[6].n = 33, q[7].k = 33, q[8].beta = 1;
    q[9].a = x + 2, q[10].epilogue.bias = x;
    q[11].epilogue = (cz_cuda_epilogue){x + 4, NULL, CZ_ACTIVATION_RELU};
    card->heuristics = 0;
    for (int i = 0; i < 12; i++) {
      assert_true(multiply(d->stream, &q[i]));
      OK(d->failed(d));
    }
    assert_int_equal(card->heuristics, 12 - lines_of[again]);
    end(d, x);
    assert_int_equal(count(lines(), "\n"), 12);
  }
}

static void fill_cache(void) {
  cz_device *d = open_card();
  void *x = matrix(d);
  made_by(d, x, 32, 32, 32);
  end(d, x);
}

/* The cache is TEXT; the next product is tuned (or not), and what is WARNED of. */
static void damaged(const char *text, bool tunes, const char *warned) {
  write_text("cache/cloze/Fake-H100.cublaslt-130100.txt", text);
  new_log();
  card->heuristics = 0;
  cz_device *d = open_card();
  void *x = matrix(d);
  assert_int_equal(made_by(d, x, 32, 32, 32), 1);
  assert_int_equal(card->heuristics > 0, tunes);
  end(d, x);
  if (warned) assert_true(logged(warned));
}

static void corrupt(void **state) {
  char good[1024], text[4096], sum[32];
  new_card();
  fill_cache();
  strcpy(good, lines());
  damaged(good, false, NULL);
  snprintf(text, sizeof text, "# by hand\n\nnonsense\n%s", good);
  damaged(text, false,
          "Fake-H100.cublaslt-130100.txt:3: this line is passed over: it is no line "
          "of an algorithm: 'nonsense'");
  strcpy(text, good);
  strstr(text, "algo=")[40] ^= 1;
  damaged(text, true, ":1: this line is passed over: its sum is not that of the line");
  strcpy(text, good);
  text[strlen(text) / 2] = 0; /* a write that was cut off: the next choice begins a new line */
  damaged(text, true, ":1: this line is passed over: ");
  assert_int_equal(count(lines(), "nn bf16"), 2);
  damaged(strcpy(text, lines()), false, ":1: this line is passed over: ");
  memset(text, 'x', 3000), strcpy(text + 3000, "\n"), strcat(text, good);
  damaged(text, false, ":1: this line is passed over: ");
  strcpy(text, good);
  memcpy(strstr(text, "130100"), "130200", 6);
  damaged(text, true, "it is of another cuBLASLt, 130200; this one is 130100");
  strcpy(text, good); /* of another card, rightly summed */
  memcpy(strstr(text, "H100"), "H200", 4);
  uint32_t fnv = 2166136261u;
  char *end_of = strstr(text, " sum=");
  for (char *at = text; at < end_of; at++) fnv = (fnv ^ (unsigned char)*at) * 16777619u;
  snprintf(sum, sizeof sum, " sum=%08x\n", fnv);
  strcpy(end_of, sum);
  damaged(text, true, "it is of another card, Fake H200");
}

/* A line for an algorithm that this library does not take: tuned anew, and the new line counts. */
static void refused(void **state) {
  new_card();
  fill_cache();
  card->algorithm[1].most_m = 16;
  cz_device *d = open_card();
  void *x = matrix(d);
  card->algorithm[1].runs = false;
  assert_int_equal(made_by(d, x, 32, 32, 32), 0);
  end(d, x);
  assert_int_equal(count(lines(), "\n"), 2);
  card->heuristics = 0;
  d = open_card();
  x = matrix(d);
  assert_int_equal(made_by(d, x, 32, 32, 32), 0);
  assert_int_equal(card->heuristics, 0);
  end(d, x);
}

/* Committed choices win over those of the cache. */
static void committed(void **state) {
  new_card();
  card->algorithm[0].seconds[0] = card->algorithm[0].seconds[1] = 1e-6;
  fill_cache();
  write_text("committed/Fake-H100.cublaslt-130100.txt", lines());
  remove_tree("cache");
  card->algorithm[0].seconds[0] = card->algorithm[0].seconds[1] = 1;
  fill_cache();
  assert_string_equal(lines(), "");
  remove_tree("committed");
  fill_cache();
  card->heuristics = 0;
  cz_device *d = open_card();
  void *x = matrix(d);
  assert_int_equal(made_by(d, x, 32, 32, 32), 1);
  assert_int_equal(card->heuristics, 0);
  end(d, x);
}

static bool with_bias(cz_device *d, void *x, int64_t m) {
  cz_cuda_product p = product(x, m, 40, 96);
  p.epilogue.bias = x;
  const bool made = multiply(d->stream, &p);
  OK(d->failed(d));
  return made;
}

/* An epilogue that the library has not: it is asked once a class, before memory is taken to time
 * on, and by the next process again. */
static void no_epilogue(void **state) {
  cz_device_info info;
  new_card();
  card->refuse_epilogues = true;
  cz_device *d = open_card();
  void *x = matrix(d);
  assert_int_equal(made_by(d, x, 100, 40, 96), 1);
  const int asked = card->heuristics, allocations = card->allocations;
  for (int m = 97; m <= 128; m++) assert_false(with_bias(d, x, m));
  assert_int_equal(card->heuristics, asked + 1);
  for (int m = 129; m <= 192; m++) assert_false(with_bias(d, x, m));
  assert_int_equal(card->heuristics, asked + 2);
  assert_int_equal(card->allocations, allocations);
  OK(d->info(d, &info));
  assert_non_null(strstr(info.libraries, "; 1 products tuned in "));
  end(d, x);
  assert_int_equal(count(lines(), "\n"), 1);
  card->refuse_epilogues = false;
  d = open_card();
  x = matrix(d);
  assert_true(with_bias(d, x, 100));
  end(d, x);
  assert_int_equal(count(lines(), "\n"), 2);
}

/* Without room to time anything: the first guess, said once and not kept. */
static void no_room(void **state) {
  new_card();
  cz_device *d = open_card();
  void *x = matrix(d);
  assert_int_equal(made_by(d, x, 32, 32, 32), 1);
  card->memory = card->used + 10000;
  new_log();
  assert_int_equal(made_by(d, x, 512, 512, 512), 0);
  assert_true(logged("cuda: the card has no room to time products of [512, 512] x [512, 512]"));
  add(d, x, x, x, 10, false);
  OK(d->failed(d));                                  /* the launch has nothing to do with it */
  assert_int_equal(made_by(d, x, 512, 512, 400), 0); /* of the same class */
  assert_int_equal(made_by(d, x, 512, 256, 512), 0);
  assert_false(logged("no room"));
  card->memory = (size_t)1 << 30;
  assert_int_equal(made_by(d, x, 512, 512, 512), 0); /* as before, as long as the process lives */
  end(d, x);
  assert_int_equal(count(lines(), "\n"), 1);
}

/* A cache that cannot be written costs a warning. */
static void no_cache(void **state) {
  new_card();
  write_text("cache", "no folder");
  new_log();
  fill_cache();
  assert_true(logged("the algorithms of products cannot be kept, so that they are timed again next "
                     "time: Not a directory"));
}

/* Processes that tune at once tear no line. */
static void many_processes(void **state) {
  enum { PROCESSES = 6, PRODUCTS = 25 };
  pid_t child[PROCESSES];
  new_card();
  for (int i = 0; i < PROCESSES; i++) {
    child[i] = fork();
    assert_true(child[i] >= 0);
    if (child[i] > 0) continue;
    cz_device *d;
    void *x;
    bool good = cz_device_open(&d, "cuda") == CZ_OK && !cz_device_alloc(d, &x, (size_t)1 << 22);
    for (int j = 0; good && j < PRODUCTS; j++) {
      const cz_cuda_product p = product(x, 16, 1 + i * PRODUCTS + j, 16);
      good = multiply(d->stream, &p) && d->failed(d) == CZ_OK;
    }
    _exit(good ? 0 : 1);
  }
  for (int i = 0; i < PROCESSES; i++) {
    int how;
    assert_int_equal(waitpid(child[i], &how, 0), child[i]);
    assert_int_equal(how, 0);
  }
  assert_int_equal(count(lines(), "\n"), PROCESSES * PRODUCTS);
  new_log();
  card->heuristics = 0;
  cz_device *d = open_card();
  void *x = matrix(d);
  for (int n = 1; n <= PROCESSES * PRODUCTS; n++) made_by(d, x, 16, n, 16);
  assert_int_equal(card->heuristics, 0);
  end(d, x);
  assert_false(logged("passed over"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(fastest),     cmocka_unit_test(classes),
      cmocka_unit_test(own_sizes),   cmocka_unit_test(kept),
      cmocka_unit_test(corrupt),     cmocka_unit_test(refused),
      cmocka_unit_test(committed),   cmocka_unit_test(no_room),
      cmocka_unit_test(no_cache),    cmocka_unit_test(many_processes),
      cmocka_unit_test(all_members), cmocka_unit_test(no_epilogue),
      cmocka_unit_test(submission),  cmocka_unit_test(cold)};
  return cmocka_run_group_tests_name("cuda choices", tests, load_card, unload_card);
}
