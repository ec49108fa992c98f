/* The building blocks against the vectors and tables of docs/t5.md 3.4 and appendix
 * C. */
#include "setup.h"

#include <math.h>
#include <string.h>

static void apply_mask(cz_example *out, const char *name, int fidelity, const int *noise,
                       size_t n_noise) {
  cz_objective_config config = default_config(name);
  config.fidelity = fidelity;
  const cz_objective o = make_objective(name, config, 100);
  int32_t ids[11];
  bool mask[11] = {false};
  for (int i = 0; i < 11; i++) ids[i] = 101 + i;
  for (size_t i = 0; i < n_noise; i++) mask[noise[i]] = true;
  const cz_piece piece = {.ids = ids, .n = 11};
  OK(cz_denoise_masked(&o, out, &piece, mask, cz_tokens_span_inputs, cz_tokens_span_targets));
}

#define LIST(...)                                                                                  \
  (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t)

typedef struct vector {
  int noise[4];
  size_t n_noise;
  const int32_t *inputs;
  size_t n_inputs;
  const int32_t *targets;
  size_t n_targets;
} vector;

static void check_vectors(const vector *v, size_t n, int fidelity) {
  cz_example e = {0};
  for (size_t i = 0; i < n; i++) {
    apply_mask(&e, "iid_replace_spans", fidelity, v[i].noise, v[i].n_noise);
    assert_ids(&e.inputs, v[i].inputs, v[i].n_inputs);
    assert_ids(&e.targets, v[i].targets, v[i].n_targets);
  }
  free_example(&e);
}

static void test_appendix_c(void **state) {
  const vector vectors[] = {
      {{2, 3, 8},
       3,
       LIST(101, 102, 32099, 105, 106, 107, 108, 32098, 110, 111, 1),
       LIST(32099, 103, 104, 32098, 109, 32097, 1)},
      {{0, 1, 8},
       3,
       LIST(32099, 103, 104, 105, 106, 107, 108, 32098, 110, 111, 1),
       LIST(101, 102, 32099, 109, 32098, 1)},
      {{0, 10},
       2,
       LIST(32099, 102, 103, 104, 105, 106, 107, 108, 109, 110, 32098, 1),
       LIST(101, 32099, 111, 1)},
      {{9, 10},
       2,
       LIST(101, 102, 103, 104, 105, 106, 107, 108, 109, 32099, 1),
       LIST(32099, 110, 111, 1)},
      {{0}, 0, LIST(101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 1), LIST(32099, 1)},
  };
  check_vectors(vectors, sizeof vectors / sizeof *vectors, CZ_FIDELITY_PAPER);
  check_vectors(vectors, sizeof vectors / sizeof *vectors, CZ_FIDELITY_CODE);
}

/* Every sentinel before its span, one more at the end. */
static void test_corrected_vectors(void **state) {
  const vector vectors[] = {
      {{2, 3, 8},
       3,
       LIST(101, 102, 32099, 105, 106, 107, 108, 32098, 110, 111, 1),
       LIST(32099, 103, 104, 32098, 109, 32097, 1)},
      {{0, 1, 8},
       3,
       LIST(32099, 103, 104, 105, 106, 107, 108, 32098, 110, 111, 1),
       LIST(32099, 101, 102, 32098, 109, 32097, 1)},
      {{0, 10},
       2,
       LIST(32099, 102, 103, 104, 105, 106, 107, 108, 109, 110, 32098, 1),
       LIST(32099, 101, 32098, 111, 32097, 1)},
      {{9, 10},
       2,
       LIST(101, 102, 103, 104, 105, 106, 107, 108, 109, 32099, 1),
       LIST(32099, 110, 111, 32098, 1)},
      {{0}, 0, LIST(101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 1), LIST(32099, 1)},
  };
  check_vectors(vectors, sizeof vectors / sizeof *vectors, CZ_FIDELITY_CORRECTED);
}

/* t5.md 3.3 note (c): 11 tokens at 15 % and mean 3 give two noise tokens in one span, the
 * last two. */
static void test_eleven_tokens(void **state) {
  for (uint32_t i = 0; i < 20; i++) {
    bool mask[11] = {false};
    cz_stream s;
    cz_stream_init(&s, test_seed(), "eleven", 0, i);
    cz_noise_random_spans(mask, &s, 11, 0.15, 3);
    for (int k = 0; k < 11; k++) assert_int_equal(mask[k], k >= 9);
  }
}

typedef struct solved {
  int64_t inputs_length;
  double density, mean;
  int64_t raw, targets, noise, spans;
} solved;

/* The table of t5.md 3.4. It lists noise and spans where the search stopped; at density
 * 0.5 and mean 3 the piece is then made a token shorter (767 to 766), which has 383 noise
 * tokens, not 384. */
static void test_solver_table(void **state) {
  static const solved table[] = {
      {512, .15, 2, 552, 126, 83, 42},    {512, .15, 3, 568, 114, 85, 28},
      {512, .15, 5, 581, 105, 87, 17},    {512, .15, 10, 591, 99, 89, 9},
      {512, .10, 2, 538, 82, 54, 27},     {512, .10, 3, 548, 74, 55, 18},
      {512, .10, 5, 556, 68, 56, 11},     {512, .10, 10, 561, 63, 56, 6},
      {512, .25, 2, 584, 220, 146, 73},   {512, .25, 3, 614, 206, 154, 51},
      {512, .25, 5, 639, 193, 160, 32},   {512, .25, 10, 660, 182, 165, 16},
      {512, .50, 2, 682, 512, 341, 170},  {512, .50, 3, 766, 512, 383, 128},
      {512, .50, 5, 852, 512, 426, 85},   {512, .50, 10, 930, 512, 465, 46},
      {256, .15, 2, 276, 62, 41, 20},     {256, .15, 3, 284, 58, 43, 14},
      {256, .15, 5, 290, 54, 44, 9},      {256, .15, 10, 295, 49, 44, 4},
      {128, .15, 2, 138, 32, 21, 10},     {128, .15, 3, 141, 29, 21, 7},
      {128, .15, 5, 145, 27, 22, 4},      {128, .15, 10, 147, 25, 22, 2},
      {1024, .15, 2, 1106, 250, 166, 83}, {1024, .15, 3, 1137, 229, 171, 57},
      {1024, .15, 5, 1162, 210, 174, 35}, {1024, .15, 10, 1182, 196, 177, 18},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    const solved *t = &table[i];
    cz_span_lengths f;
    cz_span_solve(&f, t->inputs_length, t->density, t->mean, 0);
    assert_int_equal(f.raw, t->raw);
    assert_int_equal(f.targets, t->targets);
    assert_int_equal(f.noise, t->noise);
    assert_int_equal(f.spans, t->spans);
    assert_int_equal(f.inputs, t->inputs_length); /* all entries fill the inputs */
  }
}

static void count_mask(const bool *mask, int64_t n, int64_t *noise, int64_t *runs) {
  *noise = *runs = 0;
  for (int64_t i = 0; i < n; i++) {
    *noise += mask[i];
    *runs += mask[i] && (i == 0 || !mask[i - 1]);
  }
}

/* Any length, density and mean: as many noise tokens and spans as counted, first token
 * clear, last noise. */
static void test_random_span_shape(void **state) {
  cz_stream s;
  cz_stream_init(&s, test_seed(), "shape", 0, 0);
  for (int trial = 0; trial < 3000; trial++) {
    static bool mask[1200];
    int64_t n = 2 + (int64_t)cz_stream_below(&s, trial % 2 ? 30 : 1000);
    double density = 0.001 + 0.949 * cz_stream_uniform(&s), mean = 1 + 11 * cz_stream_uniform(&s);
    int64_t noise, spans, found_noise, found_spans;
    cz_span_counts(&noise, &spans, n, density, mean);
    memset(mask, 0, sizeof mask);
    cz_noise_random_spans(mask, &s, n, density, mean);
    count_mask(mask, n, &found_noise, &found_spans);
    assert_int_equal(found_noise, noise);
    assert_int_equal(found_spans, spans);
    assert_false(mask[0]);
    assert_true(mask[n - 1]);
    for (int64_t i = n; i < 1200; i++) assert_false(mask[i]);
  }
}

/* Halves go to even, in float32: 10 x 0.15 = 1.5 gives 2, 30 x 0.15 = 4.5 gives 4, 50 x
 * 0.05 = 2.5 gives 2. */
static void test_rounding(void **state) {
  static const struct {
    int64_t n;
    double density, mean;
    int64_t noise, spans;
  } cases[] = {{10, .15, 1, 2, 2}, {30, .15, 1, 4, 4}, {50, .05, 4, 2, 1}, {1, .15, 3, 1, 1},
               {2, .95, 1, 1, 1},  {4, .5, 4, 2, 1},   {10, .5, 2, 5, 2},  {14, .5, 2, 7, 4},
               {20, .9, 1, 18, 2}, {11, .15, 3, 2, 1}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int64_t noise, spans;
    cz_span_counts(&noise, &spans, cases[i].n, cases[i].density, cases[i].mean);
    assert_int_equal(noise, cases[i].noise);
    assert_int_equal(spans, cases[i].spans);
  }
}

/* Chi-squared over equally likely outcomes; LIMIT is exceeded with probability below 1e-7
 * at that many degrees of freedom. */
static void assert_uniform(const int *counts, int outcomes, int draws, double limit) {
  double expected = (double)draws / outcomes, sum = 0;
  for (int i = 0; i < outcomes; i++)
    sum += (counts[i] - expected) * (counts[i] - expected) / expected;
  if (sum > limit) fail_msg("chi-squared %.1f over %d outcomes, limit %.1f", sum, outcomes, limit);
}

/* 10 tokens, 5 noise in 3 spans: 6 x 6 compositions, each as likely (chi-squared of 35
 * degrees of freedom: 99.99999 % below 99). */
static void test_compositions_are_uniform(void **state) {
  enum { DRAWS = 36000 };
  int counts[36] = {0}, seen[1024], n_seen = 0;
  for (uint32_t d = 0; d < DRAWS; d++) {
    bool mask[10] = {false};
    cz_stream s;
    cz_stream_init(&s, test_seed(), "composition", d, 1);
    cz_noise_random_spans(mask, &s, 10, 0.5, 1.6f);
    int code = 0, at = 0;
    for (int i = 0; i < 10; i++) code |= mask[i] << i;
    while (at < n_seen && seen[at] != code) at++;
    if (at == n_seen) seen[n_seen++] = code;
    assert_in_range(at, 0, 35);
    counts[at]++;
  }
  assert_int_equal(n_seen, 36);
  assert_uniform(counts, 36, DRAWS, 99);
}

static void test_prefix_is_uniform(void **state) {
  enum { DRAWS = 20000, N = 21 };
  int counts[N] = {0};
  const cz_objective o = make_objective("prefix_lm", default_config("prefix_lm"), 0);
  for (uint32_t d = 0; d < DRAWS; d++) {
    bool mask[N] = {false};
    cz_stream s;
    cz_stream_init(&s, test_seed(), "prefix", d, 1);
    OK(cz_noise_prefix(&o, mask, &s, N));
    int k = 0;
    while (k < N && mask[k]) k++;
    for (int i = k; i < N; i++) assert_false(mask[i]);
    assert_in_range(k, 1, N - 1);
    counts[k]++;
  }
  assert_uniform(counts + 1, N - 1, DRAWS, 71); /* 19 degrees of freedom */
}

/* A smaller density moves the least prefix: 0.25 of 21 tokens, k from rint(0.5 x 20) =
 * 10. */
static void test_prefix_bounds(void **state) {
  cz_objective_config config = default_config("prefix_lm");
  config.noise_density = 0.25;
  const cz_objective o = make_objective("prefix_lm", config, 0);
  int least = 21, most = 0;
  for (uint32_t d = 0; d < 2000; d++) {
    bool mask[21] = {false};
    cz_stream s;
    cz_stream_init(&s, test_seed(), "bounds", d, 1);
    OK(cz_noise_prefix(&o, mask, &s, 21));
    int k = 0;
    while (k < 21 && mask[k]) k++;
    if (k < least) least = k;
    if (k > most) most = k;
  }
  assert_int_equal(least, 10);
  assert_int_equal(most, 20);
}

/* Thinning leaves at most what is asked, only ever clears whole runs, and touches nothing
 * when all fits. */
static void test_subsample(void **state) {
  cz_stream s;
  cz_stream_init(&s, test_seed(), "subsample", 0, 0);
  for (int trial = 0; trial < 500; trial++) {
    enum { N = 97 };
    bool before[N], after[N];
    for (int i = 0; i < N; i++) after[i] = before[i] = cz_stream_below(&s, 2);
    int64_t noise, runs, most_runs = (int64_t)cz_stream_below(&s, 40),
                         most = (int64_t)cz_stream_below(&s, 90);
    int64_t had_noise, had_runs;
    count_mask(before, N, &had_noise, &had_runs);
    OK(cz_noise_subsample(after, &s, N, most_runs, most, 1));
    count_mask(after, N, &noise, &runs);
    assert_true(runs <= most_runs && noise + runs <= most);
    if (had_runs <= most_runs && had_noise + had_runs <= most)
      assert_memory_equal(before, after, sizeof before);
    for (int i = 0; i < N; i++) assert_true(before[i] || !after[i]);
    for (int i = 1; i < N; i++)
      if (before[i] && before[i - 1]) assert_int_equal(after[i], after[i - 1]);
  }
}

int run_block_tests(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_appendix_c),
      cmocka_unit_test(test_corrected_vectors),
      cmocka_unit_test(test_eleven_tokens),
      cmocka_unit_test(test_solver_table),
      cmocka_unit_test(test_random_span_shape),
      cmocka_unit_test(test_rounding),
      cmocka_unit_test(test_compositions_are_uniform),
      cmocka_unit_test(test_prefix_is_uniform),
      cmocka_unit_test(test_prefix_bounds),
      cmocka_unit_test(test_subsample),
  };
  return cmocka_run_group_tests_name("blocks", tests, NULL, NULL);
}
