/* The cases that tell the fidelity modes apart, row by row of the table in
 * objective.h. */
#include "setup.h"

#include <math.h>
#include <string.h>

enum {
  MODES = 3,
  PAPER = CZ_FIDELITY_PAPER,
  CODE = CZ_FIDELITY_CODE,
  CORRECTED = CZ_FIDELITY_CORRECTED
};

static cz_objective in_mode(const char *name, int fidelity, double density, int64_t targets_length,
                            int32_t sentinels) {
  cz_objective_config config = default_config(name);
  config.fidelity = fidelity;
  if (density > 0) config.noise_density = density;
  config.targets_length = targets_length;
  return make_objective(name, config, sentinels);
}

static void apply(const cz_objective *o, cz_example *e, uint32_t index) {
  static int32_t ids[1200];
  cz_stream s;
  cz_stream_init(&s, test_seed(), "fidelity", index, 0);
  fill_piece(ids, o->cut.piece_tokens, &s);
  const cz_piece piece = {.ids = ids, .n = o->cut.piece_tokens, .index = index};
  OK(cz_objective_apply(o, e, &piece));
}

/* The released 10 % file cuts a third of the examples, the paper's text none (t5.md
 * 0.6). */
static void test_caps(void **state) {
  static const int64_t cap[MODES] = {512, 103, 512};
  static const struct {
    double density;
    int64_t cap;
  } released[] = {{.15, 192}, {.25, 256}, {.5, 512}, {.2, 512}};
  cz_example e = {0};
  for (int mode = 0; mode < MODES; mode++) {
    const cz_objective o = in_mode("iid_replace_spans", mode, .10, 0, 100);
    assert_int_equal(o.targets_cap, cap[mode]);
    int at_cap = 0;
    for (uint32_t i = 0; i < 2000; i++) {
      apply(&o, &e, i);
      at_cap += e.targets.len >= 103;
      if (mode == CODE) assert_true(e.targets.len <= 103);
    }
    assert_in_range(at_cap, 2000 * .30,
                    2000 * .45); /* 35 % are longer than the cap and 3 % just as long */
  }
  for (size_t i = 0; i < sizeof released / sizeof *released; i++)
    assert_int_equal(in_mode("iid_replace_spans", CODE, released[i].density, 0, 200).targets_cap,
                     released[i].cap);
  assert_int_equal(in_mode("iid_drop_tokens", CODE, .15, 0, 100).targets_cap, 104);
  assert_int_equal(in_mode("iid_drop_tokens", PAPER, .15, 0, 100).targets_cap, 512);
  assert_int_equal(in_mode("iid_drop_tokens", CODE, .20, 0, 100).targets_cap,
                   512); /* no released file */
  free_example(&e);
}

static int count_sentinels(const cz_ids *ids) {
  int n = 0;
  for (size_t i = 0; i < ids->len; i++) n += ids->data[i] >= 32000;
  return n;
}

/* Half of 511 tokens is noise in some 128 spans, with 100 sentinels (t5.md 0.5). The
 * example is known in full from its MASS twin, which shares the mask, so each mode's
 * sentinels are predicted one by one. */
static void test_sentinels_run_out(void **state) {
  static int32_t ids[511];
  for (int i = 0; i < 511; i++) ids[i] = 10;
  const cz_piece piece = {.ids = ids, .n = 511, .index = 4};
  cz_example masked = {0}, e = {0};
  const cz_objective mass = in_mode("mass", PAPER, .5, 0, 100);
  OK(cz_objective_apply(&mass, &masked, &piece));
  for (int mode = PAPER; mode <= CODE; mode++) {
    const cz_objective o = in_mode("iid_replace_spans", mode, .5, 0, 100);
    OK(cz_objective_apply(&o, &e, &piece));
    size_t at = 0;
    int32_t span = 0;
    for (int i = 0; i < 511; i++) {
      bool noise = masked.inputs.data[i] == T5_SENTINEL,
           before = i > 0 && masked.inputs.data[i - 1] == T5_SENTINEL;
      if (noise && before) continue;
      int32_t expected = !noise ? 10 : mode == CODE ? T5_SENTINEL - span : T5_SENTINEL - span % 100;
      span += noise;
      assert_int_equal(e.inputs.data[at++], expected);
    }
    assert_int_equal(at + 1, e.inputs.len);
    assert_true(span > 100);
  }
  const cz_objective o = in_mode("iid_replace_spans", CORRECTED, .5, 0, 100);
  OK(cz_objective_apply(&o, &e, &piece));
  assert_int_equal(count_sentinels(&e.inputs),
                   99); /* 99 spans, each with a sentinel of its own ... */
  assert_int_equal(count_sentinels(&e.targets), 100); /* ... and the last to close */
  for (size_t i = 0; i + 1 < e.targets.len; i++)
    assert_true(e.targets.data[i] == 10 || e.targets.data[i] > 31999);
  assert_int_equal(e.targets.data[e.targets.len - 2], T5_SENTINEL - 99);
  free_example(&masked);
  free_example(&e);
}

/* Where even the ids below the sentinels end, `code` says so instead of writing negative
 * ids. */
static void test_ids_run_out(void **state) {
  int32_t ids[60];
  for (int i = 0; i < 60; i++) ids[i] = 3;
  cz_objective o = in_mode("iid_replace_spans", CODE, .5, 0, 1);
  o.vocabulary.sentinels[0] = 4;
  const cz_piece piece = {.ids = ids, .n = 60};
  cz_example e = {0};
  assert_int_equal(cz_objective_apply(&o, &e, &piece), CZ_EINVAL);
  assert_non_null(strstr(cz_error_message(), "span 5 has no id left"));
  free_example(&e);
}

/* An explicit cap below what the targets need: cut with EOS kept, or noise left out so
 * that nothing is cut. */
static void test_explicit_caps(void **state) {
  cz_example e = {0};
  for (int mode = 0; mode < MODES; mode++) {
    const cz_objective replace = in_mode("iid_replace_spans", mode, .15, 60, 100),
                       drop = in_mode("iid_drop_tokens", mode, .15, 40, 100);
    for (uint32_t i = 0; i < 50; i++) {
      apply(&replace, &e, i);
      assert_int_equal(e.targets.data[e.targets.len - 1], T5_EOS);
      assert_true(e.targets.len <= 60);
      size_t inputs = e.inputs.len, targets = e.targets.len,
             sentinels = (size_t)count_sentinels(&e.targets);
      size_t hidden =
          512 - inputs +
          (size_t)count_sentinels(&e.inputs); /* noise tokens, by what the inputs lack */
      if (mode == CORRECTED)
        assert_int_equal(targets, hidden + sentinels + 1);
      else
        assert_true(targets == 60 && hidden + sentinels + 1 > targets);
      apply(&drop, &e, i);
      if (mode == CORRECTED)
        assert_true(e.targets.len <= 40 && e.inputs.len + e.targets.len == 511 + 2);
      else
        assert_true(e.targets.len == 40 && e.inputs.len + e.targets.len < 511 + 2);
    }
    const char *const whole[] = {"bert_style", "mass", "deshuffling", "prefix_lm"};
    for (size_t w = 0; w < 4; w++) {
      const cz_objective o = in_mode(whole[w], mode, 0, 100, 100);
      assert_int_equal(o.cut.piece_tokens, mode == CORRECTED ? 99 : 511);
      assert_int_equal(o.targets_cap, 100);
    }
  }
  free_example(&e);
}

/* As coded, a piece never begins with noise and always ends with it; corrected, both ends
 * are noise with the probability of any other place, and the inputs and targets still fit
 * their caps, which are solved with room for a split span and a closing sentinel. */
static void test_random_roll(void **state) {
  enum { N = 3000 };
  cz_example e = {0};
  for (int mode = 0; mode < MODES; mode++) {
    const cz_objective o = in_mode("random_spans", mode, .15, 0, 100);
    int64_t raw = o.cut.piece_tokens, first = 0, last = 0, longest = 0;
    assert_int_equal(raw, mode == CORRECTED ? 567 : 568);
    for (uint32_t i = 0; i < N; i++) {
      apply(&o, &e, i);
      size_t spans = (size_t)count_sentinels(&e.inputs);
      int64_t hidden = raw + 1 - (int64_t)e.inputs.len + (int64_t)spans;
      assert_int_equal(hidden, 85); /* nothing was cut */
      size_t sentinels = (size_t)count_sentinels(&e.targets);
      assert_int_equal(e.targets.len, 85 + sentinels + 1);
      assert_int_equal(sentinels, mode == CORRECTED ? spans + 1 : spans);
      first += e.inputs.data[0] > 31999;
      last += e.inputs.data[e.inputs.len - 2] > 31999;
      if ((int64_t)e.targets.len > longest) longest = (int64_t)e.targets.len;
    }
    double p = 85.0 / 567, limit = 5.5 * sqrt(N * p * (1 - p));
    if (mode == CORRECTED) {
      assert_true(fabs((double)first - N * p) < limit && fabs((double)last - N * p) < limit);
      assert_int_equal(
          longest, o.targets_cap); /* the room is needed: a split span with the closing sentinel */
    } else {
      assert_int_equal(first, 0);
      assert_int_equal(last, N);
    }
  }
  free_example(&e);
}

/* Random tokens of BERT-style: from 3 upwards with the sentinels, or ordinary pieces
 * only. A vocabulary of 40 tokens with 20 sentinels shows it. */
static void test_random_tokens(void **state) {
  for (int mode = 0; mode < MODES; mode++) {
    cz_objective_config config = default_config("bert_style");
    config.fidelity = mode;
    config.noise_density = config.random_token_probability = 1;
    const cz_objective_row *row;
    cz_vocabulary v = {.size = 40, .pad = 0, .eos = 1, .unk = 5, .n_sentinels = 20};
    for (int32_t k = 0; k < 20; k++) v.sentinels[k] = 39 - k;
    cz_objective o;
    OK(cz_objective_find(&row, "bert_style"));
    OK(cz_objective_init(&o, row, &config, &v));
    int32_t ids[500] = {0};
    bool seen[40] = {false};
    cz_example e = {0};
    for (uint32_t i = 0; i < 40; i++) {
      const cz_piece piece = {.ids = ids, .n = 500, .index = i};
      OK(cz_objective_apply(&o, &e, &piece));
      for (size_t k = 0; k < 500; k++) seen[e.inputs.data[k]] = true;
    }
    for (int32_t id = 0; id < 40; id++)
      assert_int_equal(seen[id], mode == CORRECTED ? id >= 3 && id < 20 && id != 5 : id >= 3);
    free_example(&e);
  }
}

/* One noise token in ten is random, the rest is the mask token. */
static void test_random_share(void **state) {
  const cz_objective o = in_mode("bert_style", PAPER, 1, 0, 100);
  cz_example e = {0};
  int masks = 0, n = 0;
  for (uint32_t i = 0; i < 100; i++) {
    apply(&o, &e, i);
    for (size_t k = 0; k + 1 < e.inputs.len; k++, n++) masks += e.inputs.data[k] == T5_SENTINEL;
  }
  assert_true(fabs(masks - .9 * n) < 5.5 * sqrt(n * .09));
  free_example(&e);
}

/* Modes that say the same give the same bits: the default changes nothing that the code
 * does where paper and code agree. */
static void test_agreement(void **state) {
  static const char *const same[] = {"prefix_lm",   "lm",   "bert_style",
                                     "deshuffling", "mass", "random_spans"};
  cz_example a = {0}, b = {0};
  for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
    const cz_objective paper = in_mode(same[i], PAPER, 0, 0, 100),
                       code = in_mode(same[i], CODE, 0, 0, 100);
    for (uint32_t k = 0; k < 20; k++) {
      apply(&paper, &a, k);
      apply(&code, &b, k);
      assert_ids(&b.inputs, a.inputs.data, a.inputs.len);
      assert_ids(&b.targets, a.targets.data, a.targets.len);
    }
  }
  free_example(&a);
  free_example(&b);
}

int run_fidelity_tests(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_caps),         cmocka_unit_test(test_sentinels_run_out),
      cmocka_unit_test(test_ids_run_out),  cmocka_unit_test(test_explicit_caps),
      cmocka_unit_test(test_random_roll),  cmocka_unit_test(test_random_tokens),
      cmocka_unit_test(test_random_share), cmocka_unit_test(test_agreement),
  };
  return cmocka_run_group_tests_name("fidelity", tests, NULL, NULL);
}
