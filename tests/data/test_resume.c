/* Going on from a saved cursor: after a stop at any step the batches are those of a run
 * without a stop, bit for bit. */
#include "batch_setup.h"
#include "base/hash.h"

#include <stdio.h>

int run_resume_tests(void);

enum { STEPS = 40 };

static uint64_t hash_batch(const cz_batch *b) {
  uint64_t h = cz_hash64(&b->after, sizeof b->after, 0);
  for (int64_t i = 0; i < b->n_shards; i++) {
    const cz_shard *s = &b->shards[i];
    h = cz_hash64(s->encoder.ids, (size_t)s->encoder.tokens * 4, h);
    h = cz_hash64(s->encoder.spans, (size_t)s->segments * 8, h);
    h = cz_hash64(s->decoder.ids, (size_t)s->decoder.tokens * 4, h);
    h = cz_hash64(s->decoder.spans, (size_t)s->segments * 8, h);
    h = cz_hash64(s->targets, (size_t)s->decoder.tokens * 4, h);
    h = cz_hash64(s->loss_rows, (size_t)s->n_loss_rows * 4, h);
    h = cz_hash64(s->prefix, (size_t)s->segments * 4, h);
  }
  return h;
}

typedef struct track {
  uint64_t hash[STEPS];
  cz_cursor after[STEPS];
  int n;
} track;

static void follow(track *t, const cz_source *source, const cz_batch_plan *plan,
                   const cz_cursor *from, int steps) {
  cz_batches *batches;
  const cz_batch *b;
  t->n = 0;
  OK(cz_batches_open(&batches, source, plan, from));
  while (t->n < steps) {
    OK(cz_batches_next(batches, &b));
    if (!b) break;
    t->hash[t->n] = hash_batch(b);
    t->after[t->n++] = b->after;
  }
  cz_batches_close(&batches);
}

/* Stops after every step in turn; MAKE and DROP open and close a source of its own for
 * each life. */
static void check_stops(cz_source (*make)(void *), void (*drop)(cz_source *), void *context,
                        const cz_batch_plan *plan) {
  track whole, rest;
  cz_source source = make(context);
  follow(&whole, &source, plan, NULL, STEPS);
  drop(&source);
  for (int stop = 0; stop < whole.n; stop++) {
    source = make(context);
    follow(&rest, &source, plan, &whole.after[stop], whole.n - stop - 1);
    drop(&source);
    assert_int_equal(rest.n, whole.n - stop - 1);
    for (int i = 0; i < rest.n; i++)
      if (rest.hash[i] != whole.hash[stop + 1 + i])
        fail_msg("stopped after batch %d: batch %d differs", stop, stop + 1 + i);
  }
  for (int i = 1; i < whole.n; i++) assert_true(whole.hash[i] != whole.hash[i - 1]);
}

static cz_source make_noisy(void *p) { return noisy_source(p); }
static void drop_noisy(cz_source *s) { *s = (cz_source){0}; }

static void test_random_plans(void **state) {
  for (uint32_t k = 0; k < 6; k++) {
    cz_stream s;
    cz_stream_init(&s, test_seed(), "resume", k, 0);
    noisy p = {.count = (uint64_t)draw(&s, 1, 200),
               .most_inputs = draw(&s, 1, 60),
               .most_targets = draw(&s, 1, 40),
               .empty_one_in = 4 * draw(&s, 0, 1)};
    if (p.empty_one_in && p.count < 50) p.count = 50;
    cz_batch_plan plan = random_plan(&s, &p);
    plan.passes = draw(&s, 0, 1) ? 3 : 0;
    check_stops(make_noisy, drop_noisy, &p, &plan);
  }
}

/* Pieces of a corpus with noise that depends on epoch and piece, over several epochs,
 * from a file that is opened anew. */
static cz_status add_noise(const void *self, const cz_piece *piece, cz_example *out) {
  cz_stream s;
  cz_stream_init(&s, test_seed(), "noise", piece->epoch, piece->index);
  CZ_TRY(keep_piece(self, piece, out));
  for (int64_t i = 0; i < piece->n; i++)
    if (draw(&s, 0, 3) == 0) CZ_TRY(cz_ids_add(&out->inputs, piece->ids[i]));
  return CZ_OK;
}

static cz_reader *reader;

static cz_source make_pieces(void *path) {
  cz_cut cut = {.piece_tokens = 50, .concatenate = true, .chunk_tokens = 400, .group_documents = 8};
  cz_source s;
  reader = open_documents(path);
  OK(cz_source_pieces(&s, reader, &cut, add_noise, NULL, test_seed()));
  return s;
}

static void drop_pieces(cz_source *s) {
  cz_source_destroy(s);
  cz_reader_close(&reader);
}

static void write_pieces(const char *path) {
  int64_t lengths[30];
  for (int i = 0; i < 30; i++) lengths[i] = 1 + 37 * i % 500;
  write_counting(path, lengths, 30);
}

static void test_pieces(void **state) {
  write_pieces(under("pieces.h5"));
  cz_batch_plan plan = {.input_tokens = 600, .target_tokens = 600, .shards = 2, .window = 3};
  check_stops(make_pieces, drop_pieces, (void *)under("pieces.h5"), &plan);
}

/* Unsupervised pieces and pairs in one mixture. */
static cz_pairs pairs;

static cz_source make_mixture(void *path) {
  cz_source parts[2], s;
  parts[0] = make_pieces(path);
  OK(cz_source_pairs(&parts[1], &pairs, 1, test_seed()));
  OK(cz_source_mixture(&s, parts, (double[]){0.75, 0.25}, 2, test_seed()));
  return s;
}

static void test_mixture(void **state) {
  write_pieces(under("pieces.h5"));
  for (int32_t i = 0; i < 20; i++)
    OK(cz_pairs_add(&pairs, (int32_t[]){i, i + 1}, 1 + i % 2, (int32_t[]){i + 7}, 1));
  cz_batch_plan plan = {.layout = CZ_LAYOUT_STACK,
                        .input_tokens = 600,
                        .target_tokens = 600,
                        .shards = 1,
                        .window = 2};
  check_stops(make_mixture, drop_pieces, (void *)under("pieces.h5"), &plan);
  cz_pairs_free(&pairs);
}

/* Noise is fresh in every epoch, order too. */
static void test_epochs_differ(void **state) {
  write_pieces(under("pieces.h5"));
  cz_source s = make_pieces((void *)under("pieces.h5"));
  cz_example a = {0}, b = {0};
  uint64_t n, m, same_noise = 0, same_place = 0;
  OK(s.count(s.self, &n, 0));
  OK(s.count(s.self, &m, 1));
  for (uint64_t i = 0; i < n && i < m; i++) {
    OK(s.get(s.self, &a, 0, i));
    OK(s.get(s.self, &b, 1, i));
    same_place += a.inputs.data[0] == b.inputs.data[0];
    same_noise += a.inputs.len == b.inputs.len &&
                  !memcmp(a.inputs.data + 1, b.inputs.data + 1, (a.inputs.len - 1) * 4);
  }
  assert_true(n > 40 && same_place < n / 4 && same_noise < n / 10);
  free_example(&a);
  free_example(&b);
  drop_pieces(&s);
}

static void test_foreign_cursor(void **state) {
  noisy p = {.count = 50, .most_inputs = 9, .most_targets = 9};
  cz_source source = noisy_source(&p);
  cz_batch_plan plan = {.input_tokens = 40, .target_tokens = 40, .shards = 1, .window = 2};
  cz_batches *batches;
  const cz_batch *b;
  OK(cz_batches_open(&batches, &source, &plan, &(cz_cursor){.index = 51}));
  FAILS(cz_batches_next(batches, &b), CZ_EINVAL,
        "the saved place is example 51 of epoch 0, which has 50");
  cz_batches_close(&batches);
  OK(cz_batches_open(&batches, &source, &plan, &(cz_cursor){.taken = 2}));
  FAILS(cz_batches_next(batches, &b), CZ_EINVAL, "batch 2 of a window that has 2");
  cz_batches_close(&batches);
}

/** Runs the tests of this file. */
int run_resume_tests(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_plans),
                                     cmocka_unit_test(test_pieces), cmocka_unit_test(test_mixture),
                                     cmocka_unit_test(test_epochs_differ),
                                     cmocka_unit_test(test_foreign_cursor)};
  return cmocka_run_group_tests_name("resume", tests, make_folder, drop_folder);
}
