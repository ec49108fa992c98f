/* Objectives whose tokens are read as they are: masked_lm, next_sentence, causal_lm. Worked
 * examples, rates against binomial bounds, who is eligible by fidelity, keys of the draws. */
#include "setup.h"

#include "data/batch.h"
#include "data/prepared.h"
#include "objectives/masking.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = CZ_NOT_COUNTED, PAD = 0, UNK, CLS, SEP, MASK, FIRST, SIZE = 1000 };

static cz_vocabulary bert(void) {
  return (cz_vocabulary){
      .size = SIZE, .pad = PAD, .eos = -1, .unk = UNK, .cls = CLS, .sep = SEP, .mask = MASK};
}

static cz_objective objective_of(const char *name, const cz_objective_config *config) {
  const cz_objective_row *row;
  const cz_vocabulary v = bert();
  cz_objective o;
  OK(cz_objective_find(&row, name));
  OK(cz_objective_init(&o, row, config, &v));
  return o;
}

/* With every eligible token chosen and masked, or none. */
static cz_objective certain(const char *name, int64_t length, double density) {
  cz_objective_config c = default_config(name);
  c.inputs_length = length;
  c.noise_density = density;
  c.random_token_probability = c.kept_token_probability = 0;
  return objective_of(name, &c);
}

#define PIECE(...)                                                                                 \
  (&(cz_piece){.ids = (const int32_t[]){__VA_ARGS__},                                              \
               .n = sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t),                      \
               .ends = true})
#define LIST(found, ...)                                                                           \
  assert_ids((found), (const int32_t[]){__VA_ARGS__},                                              \
             sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

static void test_masked_by_hand(void **state) {
  cz_example e = {0};
  cz_objective o = certain("masked_lm", 5, 1);
  assert_true(o.cut.piece_tokens == 3 && !o.cut.concatenate && o.inputs_cap == 5);
  OK(cz_objective_apply(&o, &e, PIECE(11, 12, 13)));
  LIST(&e.inputs, CLS, MASK, MASK, MASK, SEP);
  LIST(&e.labels, N, 11, 12, 13, N);
  assert_true(!e.types.len && !e.rows.len && !e.targets.len && e.klass < 0);
  OK(cz_objective_apply(&o, &e, PIECE(11, 12, 13, 14))); /* longer than the cap */
  LIST(&e.labels, N, 11, 12, 13, N);
  OK(cz_objective_apply(&o, &e, &(cz_piece){0})); /* nothing stays of the last one */
  assert_true(!e.inputs.len && !e.labels.len);
  o = certain("masked_lm", 5, 0);
  OK(cz_objective_apply(&o, &e, PIECE(11)));
  LIST(&e.inputs, CLS, 11, SEP);
  LIST(&e.labels, N, N, N);
  cz_example_free(&e);
}

static void test_pairs_by_hand(void **state) {
  cz_example e = {0};
  const cz_objective o = certain("next_sentence", 7, 0);
  cz_piece p = *PIECE(11, 12, 13, 14);
  bool seen[2][4] = {{0}};
  assert_true(o.cut.piece_tokens == 4 && o.cut.other && !o.cut.concatenate);
  p.other = (const int32_t[]){21, 22};
  p.n_other = 2;
  for (p.index = 0; p.index < 200; p.index++) {
    OK(cz_objective_apply(&o, &e, &p));
    LIST(&e.rows, 0);
    const int32_t *in = e.inputs.data;
    int64_t a = 1;
    while (in[a] != SEP) a++;
    const int64_t first = a - 1, second = (int64_t)e.inputs.len - first - 3;
    assert_in_range(first, 1, 3);
    assert_in_range(e.klass, 0, 1);
    assert_int_equal(second, e.klass && 4 - first > 2 ? 2 : 4 - first);
    assert_int_equal(e.text, first + second);
    assert_int_equal(in[0], CLS);
    assert_int_equal(in[e.inputs.len - 1], SEP);
    for (int64_t i = 0; i < first; i++) assert_int_equal(in[1 + i], 11 + i);
    for (int64_t i = 0; i < second; i++)
      assert_int_equal(in[a + 1 + i], e.klass ? 21 + i : 11 + first + i);
    for (int64_t i = 0; i < (int64_t)e.inputs.len; i++) assert_int_equal(e.types.data[i], i > a);
    seen[e.klass][first] = true;
  }
  for (int k = 0; k < 2; k++) assert_true(seen[k][1] && seen[k][2] && seen[k][3]);
  p.n = 1;
  OK(cz_objective_apply(&o, &e, &p));
  assert_true(!e.inputs.len && !e.rows.len);
  p.n = 4, p.n_other = 0;
  FAILS(cz_objective_apply(&o, &e, &p), CZ_EINVAL, "without a run of another document");
  cz_example_free(&e);
}

static void test_causal_by_hand(void **state) {
  const cz_objective_row *row;
  cz_objective_config c = default_config("causal_lm");
  const cz_vocabulary v = {.size = 100, .pad = -1, .eos = 99, .unk = -1, .cls = -1, .sep = -1};
  cz_objective o;
  cz_example e = {0};
  c.inputs_length = 4;
  OK(cz_objective_find(&row, "causal_lm"));
  OK(cz_objective_init(&o, row, &c, &v));
  assert_int_equal(o.cut.piece_tokens, 3);
  OK(cz_objective_apply(&o, &e, PIECE(11, 12, 13)));
  LIST(&e.inputs, 11, 12, 13, 99);
  LIST(&e.labels, 12, 13, 99, N);
  OK(cz_objective_apply(&o, &e, PIECE(11)));
  LIST(&e.inputs, 11, 99);
  cz_piece p = *PIECE(11, 12, 13, 14); /* its end is cut off */
  OK(cz_objective_apply(&o, &e, &p));
  LIST(&e.labels, 12, 13, N);
  p.ends = false, p.n = 2;
  OK(cz_objective_apply(&o, &e, &p));
  LIST(&e.inputs, 11, 12);
  p.n = 1;
  OK(cz_objective_apply(&o, &e, &p));
  assert_true(!e.inputs.len && !e.labels.len);
  p.n = 0, p.ends = true;
  OK(cz_objective_apply(&o, &e, &p));
  assert_int_equal(e.inputs.len, 0);
  cz_example_free(&e);
}

/* COUNT of NUMBER draws with probability P: within five deviations, which one run in 1.7 million
 * is not. */
static void within(const char *what, double count, double number, double p) {
  const double off = fabs(count - number * p), limit = 5 * sqrt(number * p * (1 - p)) + 1;
  if (off > limit)
    fail_msg("%s: %.0f of %.0f, expected %.1f +- %.1f", what, count, number, number * p, limit);
}

/* 300,000 tokens, each ordinary; a random token is the one that stood there once in SIZE. */
static void test_rates(void **state) {
  enum { PIECES = 3000, LENGTH = 100 };
  const cz_objective_config c = default_config("masked_lm");
  const cz_objective o = objective_of("masked_lm", &c);
  static int32_t ids[LENGTH];
  int chosen = 0, masked = 0, kept = 0, special = 0, low = 0, place[4] = {0};
  cz_example e = {0};
  for (uint32_t i = 0; i < PIECES; i++) {
    cz_stream s;
    cz_stream_init(&s, test_seed(), "rates", i, 0);
    for (int k = 0; k < LENGTH; k++) ids[k] = FIRST + (int32_t)cz_stream_below(&s, SIZE - FIRST);
    OK(cz_objective_apply(&o, &e, &(cz_piece){.ids = ids, .n = LENGTH, .index = i}));
    assert_true(e.labels.data[0] == N && e.labels.data[LENGTH + 1] == N);
    for (int k = 0; k < LENGTH; k++) {
      const int32_t now = e.inputs.data[k + 1], label = e.labels.data[k + 1];
      if (label == N) {
        assert_int_equal(now, ids[k]);
        continue;
      }
      assert_int_equal(label, ids[k]);
      chosen++, place[k / 25]++;
      masked += now == MASK, kept += now == label;
      if (now == MASK || now == label) continue;
      special += now < FIRST, low += now < SIZE / 2;
    }
  }
  cz_example_free(&e);
  const double random = chosen - masked - kept, V = SIZE;
  print_message("%d chosen: %d masked, %d kept, %.0f random\n", chosen, masked, kept, random);
  within("chosen", chosen, PIECES * LENGTH, .15);
  for (int q = 0; q < 4; q++) within("of a quarter", place[q], PIECES * LENGTH / 4, .15);
  within("masked", masked, chosen, .8 + .1 / V);
  within("kept", kept, chosen, .1 + .1 / V);
  within("random", random, chosen, .1 * (1 - 2 / V));
  within("random and special", special, random, (FIRST - 1) / V); /* the whole vocabulary */
  within("random from the lower half", low, random, .5);
}

/* The prompt "[CLS] a b [MASK] [SEP]" and padding to 256: which of them may be chosen. */
static void test_eligible(void **state) {
  const cz_vocabulary v = bert();
  const int32_t prompt[] = {CLS, 11, UNK, MASK, SEP};
  static const bool by_paper[] = {false, true, true, false, false},
                    by_code[] = {false, true, true, true, false};
  for (int fidelity = CZ_FIDELITY_PAPER; fidelity <= CZ_FIDELITY_CORRECTED; fidelity++) {
    const bool code = fidelity == CZ_FIDELITY_CODE;
    const cz_masking m = {
        .vocabulary = &v, .density = 1, .kept = 1, .fidelity = fidelity, .seed = test_seed()};
    cz_example e = {0};
    OK(cz_ids_append(&e.inputs, prompt, 5));
    OK(cz_pad_example(&e, &v, 256));
    assert_true(e.inputs.len == 256 && e.padding == 251 && !e.types.len);
    OK(cz_mask_example(&m, &e, 0, 0));
    for (int i = 0; i < 256; i++) {
      const bool eligible = i < 5 ? (code ? by_code : by_paper)[i] : code;
      assert_int_equal(e.labels.data[i], eligible ? e.inputs.data[i] : N);
    }
    cz_example_free(&e);
  }
}

/* What the published code computes on short texts: most targets are padding (pet.md 1.2), and
 * of the targets each pattern's mask is one as often as any token. */
static void test_code_masks_padding(void **state) {
  enum { TEXTS = 2000, REAL = 20, LENGTH = 64 };
  const cz_vocabulary v = bert();
  const cz_masking m = {.vocabulary = &v,
                        .density = .15,
                        .random = .1,
                        .kept = .1,
                        .fidelity = CZ_FIDELITY_CODE,
                        .seed = test_seed()};
  int padding = 0, pattern = 0, all = 0;
  for (uint32_t t = 0; t < TEXTS; t++) {
    cz_example e = {0};
    OK(cz_ids_add(&e.inputs, CLS));
    OK(cz_ids_add(&e.inputs, MASK));
    while (e.inputs.len < REAL - 1) OK(cz_ids_add(&e.inputs, 500));
    OK(cz_ids_add(&e.inputs, SEP));
    OK(cz_pad_example(&e, &v, LENGTH));
    OK(cz_mask_example(&m, &e, 0, t));
    pattern += e.labels.data[1] == MASK;
    for (int i = 0; i < LENGTH; i++) {
      all += e.labels.data[i] != N;
      padding += e.labels.data[i] == PAD;
    }
    cz_example_free(&e);
  }
  within("targets", all, TEXTS * (LENGTH - 2), .15);
  within("padding", padding, TEXTS * (LENGTH - REAL), .15);
  within("the pattern's mask", pattern, TEXTS, .15);
  assert_true(2 * padding > all);
}

static void test_padding_is_refused(void **state) {
  cz_vocabulary v = bert();
  cz_example e = {0};
  for (int i = 0; i < 3; i++) {
    OK(cz_ids_add(&e.inputs, 11));
    OK(cz_ids_add(&e.types, 1));
  }
  FAILS(cz_pad_example(&e, &v, 2), CZ_EINVAL, "3 tokens and 0 labels can't be padded to 2");
  OK(cz_pad_example(&e, &v, 3));
  assert_int_equal(e.padding, 0);
  OK(cz_pad_example(&e, &v, 5));
  LIST(&e.types, 1, 1, 1, 0, 0);
  v.pad = -1;
  FAILS(cz_pad_example(&e, &v, 6), CZ_EUSAGE, "no padding token");
  cz_example_free(&e);
}

/* Masks are another draw in each epoch and for each text, the same one again in any order; and
 * through a source of prepared texts they reach the batches. */
static void test_draws_are_keyed(void **state) {
  const cz_vocabulary v = bert();
  const cz_masking m = {.vocabulary = &v, .density = .5, .random = .1, .seed = test_seed()};
  cz_prepared set = {0};
  cz_source source;
  cz_example e = {0}, masked[3][2];
  memset(masked, 0, sizeof masked);
  OK(cz_ids_add(&e.inputs, CLS));
  for (int i = 0; i < 60; i++) OK(cz_ids_add(&e.inputs, 100 + i));
  OK(cz_prepared_add(&set, &e));
  OK(cz_prepared_add(&set, &e)); /* a copy has masks of its own */
  cz_example_free(&e);
  const cz_prepared_use use = {.order = CZ_ORDER_FILE, .alter = cz_mask_example, .alter_self = &m};
  OK(cz_source_prepared(&source, &set, &use));
  for (uint32_t epoch = 0; epoch < 3; epoch++)
    for (uint32_t i = 0; i < 2; i++) OK(source.get(source.self, &masked[epoch][i], epoch, i));
  for (int epoch = 2; epoch >= 0; epoch--)
    for (int i = 1; i >= 0; i--) {
      const cz_example *old = &masked[epoch][i];
      OK(source.get(source.self, &e, (uint32_t)epoch, (uint64_t)i));
      assert_ids(&e.inputs, old->inputs.data, old->inputs.len);
      assert_ids(&e.labels, old->labels.data, old->labels.len);
      for (int k = 0; k < 6; k++)
        if (k != 2 * epoch + i)
          assert_memory_not_equal(masked[k / 2][k % 2].labels.data, old->labels.data,
                                  old->labels.len * sizeof(int32_t));
    }
  for (int k = 0; k < 6; k++) cz_example_free(&masked[k / 2][k % 2]);
  cz_example_free(&e);
  cz_source_destroy(&source);
  cz_prepared_free(&set);
}

/* Over a corpus whose tokens count up: class 0 goes on where the first text ends; class 1 is a run
 * of another document, each of which comes as often as any; half of the pairs are of each. */
static void test_pairs_of_a_corpus(void **state) {
  enum { DOCUMENTS = 40, LENGTH = 61 };
  cz_corpus_writer *w;
  cz_ids document = {0};
  cz_reader *reader;
  cz_source source;
  cz_example e = {0};
  cz_objective_config c = default_config("next_sentence");
  c.inputs_length = 23;
  c.noise_density = 0;
  cz_objective o = objective_of("next_sentence", &c);
  int pairs = 0, follow = 0, others[DOCUMENTS] = {0};
  OK(cz_corpus_create(&w, under("pairs.h5"), (cz_corpus_vocabulary){.hash = 7, .size = 1 << 20}));
  for (int32_t d = 0; d < DOCUMENTS; d++) {
    document.len = 0;
    for (int32_t k = 0; k < LENGTH; k++) OK(cz_ids_add(&document, 1000 + d * LENGTH + k));
    OK(cz_corpus_add(w, &document));
  }
  OK(cz_corpus_commit(&w, NULL));
  OK(cz_reader_open(&reader, under("pairs.h5"), NULL));
  OK(cz_source_pieces(&source, reader, &o.cut, o.row->corrupt, &o, test_seed()));
  for (uint32_t epoch = 0; epoch < 30; epoch++) {
    uint64_t n;
    OK(source.count(source.self, &n, epoch));
    assert_int_equal(n, DOCUMENTS * 4); /* 20, 20, 20 and a piece of one token */
    for (uint64_t i = 0; i < n; i++) {
      OK(source.get(source.self, &e, epoch, i));
      if (!e.inputs.len) continue;
      size_t a = 1;
      while (e.inputs.data[a] != SEP) a++;
      const int32_t first = (e.inputs.data[1] - 1000) / LENGTH, *b = e.inputs.data + a + 1,
                    second = (b[0] - 1000) / LENGTH;
      assert_true(e.inputs.len == 23 && e.text == 20);
      for (size_t k = 0; k + a + 3 < e.inputs.len; k++) assert_int_equal(b[k + 1], b[k] + 1);
      assert_int_equal((b[e.inputs.len - a - 3] - 1000) / LENGTH, second); /* one document */
      pairs++, follow += e.klass == 0;
      if (e.klass == 0)
        assert_int_equal(b[0], e.inputs.data[a - 1] + 1);
      else
        assert_true(first != second && ++others[second]);
    }
  }
  assert_int_equal(pairs, 30 * DOCUMENTS * 3);
  within("pairs that follow", follow, pairs, .5);
  for (int d = 0; d < DOCUMENTS; d++) within("runs", others[d], pairs - follow, 1. / DOCUMENTS);
  cz_example_free(&e);
  cz_source_destroy(&source);
  cz_reader_close(&reader);
  free(document.data);
}

static void test_one_document_has_no_other(void **state) {
  cz_corpus_writer *w;
  cz_ids document = {0};
  cz_reader *reader;
  cz_source source;
  const cz_objective o = certain("next_sentence", 7, 0);
  cz_cut joined = o.cut;
  for (int32_t k = 0; k < 9; k++) OK(cz_ids_add(&document, 10 + k));
  OK(cz_corpus_create(&w, under("one.h5"), (cz_corpus_vocabulary){.hash = 7, .size = 1 << 20}));
  OK(cz_corpus_add(w, &document));
  OK(cz_corpus_commit(&w, NULL));
  OK(cz_reader_open(&reader, under("one.h5"), NULL));
  FAILS(cz_source_pieces(&source, reader, &o.cut, o.row->corrupt, &o, 1), CZ_EINVAL,
        "a corpus of 1 document has no other one");
  joined.concatenate = true;
  FAILS(cz_source_pieces(&source, reader, &joined, o.row->corrupt, &o, 1), CZ_EINVAL,
        "joined documents have no other");
  cz_reader_close(&reader);
  free(document.data);
}

/* The last piece of each document is told to the objective, joined or not, chunks or not. */
static cz_status tell_ends(const void *self, const cz_piece *piece, cz_example *out) {
  cz_example_clear(out);
  CZ_TRY(cz_ids_add(&out->targets, piece->ids[piece->n - 1]));
  return cz_ids_add(&out->inputs, piece->ends);
}

static void test_ends(void **state) {
  cz_corpus_writer *w;
  cz_ids document = {0};
  cz_reader *reader;
  OK(cz_corpus_create(&w, under("ends.h5"), (cz_corpus_vocabulary){.hash = 7, .size = 1 << 20}));
  for (int32_t d = 0; d < 3; d++) {
    document.len = 0;
    for (int32_t k = 0; k < 7 + d; k++) OK(cz_ids_add(&document, 100 * d + k));
    OK(cz_corpus_add(w, &document));
  }
  OK(cz_corpus_commit(&w, NULL));
  free(document.data);
  OK(cz_reader_open(&reader, under("ends.h5"), NULL));
  for (int joined = 0; joined < 2; joined++)
    for (int64_t chunk = 4; chunk < 100; chunk += 50) {
      const cz_cut cut = {
          .piece_tokens = 4, .chunk_tokens = chunk, .concatenate = joined, .group_documents = 2};
      cz_source source;
      cz_example e = {0};
      uint64_t n;
      OK(cz_source_pieces(&source, reader, &cut, tell_ends, NULL, test_seed()));
      for (uint32_t epoch = 0; epoch < 20; epoch++) {
        OK(source.count(source.self, &n, epoch));
        for (uint64_t i = 0; i < n; i++) {
          OK(source.get(source.self, &e, epoch, i));
          const int32_t last = e.targets.data[0];
          const bool ends = last % 100 == 6 + last / 100;
          if (!joined) assert_int_equal(e.inputs.data[0], ends);
          if (e.inputs.data[0]) assert_true(ends); /* of a group the last document's alone */
        }
      }
      cz_example_free(&e);
      cz_source_destroy(&source);
    }
  cz_reader_close(&reader);
}

static void refuse(const char *name, cz_objective_config config, const cz_vocabulary *v,
                   const char *message) {
  const cz_objective_row *row;
  cz_objective o;
  OK(cz_objective_find(&row, name));
  FAILS(cz_objective_init(&o, row, &config, v), CZ_EUSAGE, message);
}

static void test_refusals(void **state) {
  static const char *const names[] = {"masked_lm", "next_sentence"};
  for (int i = 0; i < 2; i++) {
    cz_objective_config c = default_config(names[i]);
    cz_vocabulary v = bert();
    v.mask = -1;
    refuse(names[i], c, &v, "needs a mask token ([MASK], <mask>); the tokenizer names none");
    v = bert(), v.cls = -1;
    refuse(names[i], c, &v, "needs a token before a text");
    v = bert(), v.sep = -1;
    refuse(names[i], c, &v, "needs a token behind a text");
    c.kept_token_probability = .95;
    v = bert();
    refuse(names[i], c, &v, "random_token_probability 0.1 and kept_token_probability 0.95");
  }
  cz_vocabulary v = bert();
  cz_objective_config c = default_config("next_sentence");
  c.inputs_length = 4;
  refuse("next_sentence", c, &v, "inputs_length 4 leaves no room for two texts");
  refuse("causal_lm", default_config("causal_lm"), &v, "needs an end token behind a document");
  v.mask = SIZE;
  cz_objective o;
  const cz_objective_row *row;
  OK(cz_objective_find(&row, "masked_lm"));
  c = default_config("masked_lm");
  FAILS(cz_objective_init(&o, row, &c, &v), CZ_EINVAL, "[MASK] 1000 can't carry");
}

static void test_mean_lengths(void **state) {
  double inputs, targets;
  static const char *const names[] = {"masked_lm", "next_sentence"};
  for (int i = 0; i < 2; i++) {
    const cz_objective_config c = default_config(names[i]);
    const cz_objective o = objective_of(names[i], &c);
    OK(cz_objective_mean_lengths(&o, &inputs, &targets, 10));
    assert_true(inputs == 512 && targets == 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_masked_by_hand),
      cmocka_unit_test(test_pairs_by_hand),
      cmocka_unit_test(test_causal_by_hand),
      cmocka_unit_test(test_rates),
      cmocka_unit_test(test_eligible),
      cmocka_unit_test(test_code_masks_padding),
      cmocka_unit_test(test_padding_is_refused),
      cmocka_unit_test(test_draws_are_keyed),
      cmocka_unit_test(test_pairs_of_a_corpus),
      cmocka_unit_test(test_one_document_has_no_other),
      cmocka_unit_test(test_ends),
      cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_mean_lengths),
  };
  test_seed();
  return cmocka_run_group_tests_name("masking", tests, make_folder, drop_folder);
}
