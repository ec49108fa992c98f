/* Batches: what a batch holds, over random plans and random examples; both layouts by
 * hand; long examples, bad plans, failing sources. */
#include "batch_setup.h"

int run_resume_tests(void);

/** A source of COUNT examples per epoch whose lengths are random up to the two given
 * ones; see batch_setup.h. */
static cz_status noisy_count(void *self, uint64_t *n, uint32_t epoch) {
  *n = ((noisy *)self)->count;
  return CZ_OK;
}

static cz_status noisy_get(void *self, cz_example *out, uint32_t epoch, uint64_t index) {
  noisy *p = self;
  cz_stream s;
  cz_stream_init(&s, test_seed(), "noisy", epoch, (uint32_t)index);
  assert_true(index < p->count);
  if (p->fail_at && epoch * p->count + index >= p->fail_at)
    return CZ_FAIL(CZ_ECORRUPT, "example %llu is rotten", (unsigned long long)index);
  out->inputs.len = out->targets.len = 0;
  int64_t inputs = draw(&s, 1, p->most_inputs),
          targets = draw(&s, p->empty_one_in && !draw(&s, 0, p->empty_one_in - 1) ? 0 : 1,
                         p->most_targets);
  if (p->empty_one_in == 1) targets = 0;
  for (int64_t i = 0; i < inputs; i++) CZ_TRY(cz_ids_add(&out->inputs, (int32_t)draw(&s, 2, 1000)));
  for (int64_t i = 0; i < targets; i++)
    CZ_TRY(cz_ids_add(&out->targets, (int32_t)draw(&s, 2, 1000)));
  out->inputs.data[0] = (int32_t)(1000 + epoch * p->count + index); /* tells who it is */
  out->text = out->inputs.data[0];
  return CZ_OK;
}

cz_source noisy_source(noisy *p) {
  return (cz_source){.self = p, .count = noisy_count, .get = noisy_get};
}

cz_batch_plan random_plan(cz_stream *s, const noisy *p) {
  cz_batch_plan plan = {.layout = draw(s, 0, 1) ? CZ_LAYOUT_STACK : CZ_LAYOUT_ENCDEC,
                        .loss_on_inputs = draw(s, 0, 1),
                        .start = 0,
                        .shards = draw(s, 1, 4),
                        .window = draw(s, 1, 5),
                        .on_long = CZ_LONG_REFUSE};
  plan.input_tokens = plan.shards * (p->most_inputs + draw(s, 0, 200));
  plan.target_tokens = plan.shards * (p->most_targets + draw(s, 0, 200));
  return plan;
}

static noisy random_source(cz_stream *s) {
  return (noisy){.count = (uint64_t)draw(s, 1, 300),
                 .most_inputs = draw(s, 1, 60),
                 .most_targets = draw(s, 1, 40)};
}

/* The segment of one side: contiguous with the one before. Returns its length. */
static int64_t next_span(const cz_stack_tokens *side, int64_t segment, int64_t *at) {
  assert_int_equal(side->spans[2 * segment], *at);
  int64_t n = side->spans[2 * segment + 1] - *at;
  assert_true(n >= 0);
  *at += n;
  return n;
}

/* Compares segment I of a shard, which begins at decoder position AT, with the example
 * that it must be. */
static void check_row(const cz_shard *s, int64_t i, int64_t at, int64_t n, const cz_example *e,
                      const cz_batch_plan *plan, int64_t *counted) {
  bool stack = plan->layout == CZ_LAYOUT_STACK;
  int64_t read = stack ? (int64_t)e->inputs.len : 0;
  assert_int_equal(n, read + (int64_t)e->targets.len);
  assert_int_equal(s->prefix[i], stack ? read + 1 : 0);
  for (int64_t k = 0; k < n; k++) {
    int32_t label = k < read ? e->inputs.data[k] : e->targets.data[k - read],
            before = k == 0         ? plan->start
                     : k - 1 < read ? e->inputs.data[k - 1]
                                    : e->targets.data[k - 1 - read];
    bool counts = k >= read || plan->loss_on_inputs;
    assert_int_equal(s->decoder.ids[at + k], before);
    assert_int_equal(s->targets[at + k], counts ? label : CZ_NOT_COUNTED);
    if (!counts) continue;
    assert_int_equal(s->loss_targets[*counted], label);
    assert_int_equal(s->loss_rows[(*counted)++], at + k);
  }
}

/* Tokens of a batch's examples. */
typedef struct sums {
  int64_t text, inputs, targets;
} sums;

/* Checks one shard, counts its examples in SEEN and adds to ALL. */
static void check_shard(sums *all, const cz_shard *s, const cz_source *source, const noisy *p,
                        const cz_batch_plan *plan, uint8_t *seen) {
  int64_t at_encoder = 0, at_decoder = 0, counted = 0, inputs = 0, targets = 0;
  cz_example e = {0};
  for (int64_t i = 0; i < s->segments; i++) {
    int64_t begin = at_decoder, n_encoder = next_span(&s->encoder, i, &at_encoder),
            n_decoder = next_span(&s->decoder, i, &at_decoder);
    int32_t who = (plan->layout == CZ_LAYOUT_STACK ? s->decoder.ids[begin + 1]
                                                   : s->encoder.ids[at_encoder - n_encoder]) -
                  1000;
    seen[who]++;
    OK(source->get(source->self, &e, (uint32_t)((uint64_t)who / p->count),
                   (uint64_t)who % p->count));
    if (plan->layout == CZ_LAYOUT_ENCDEC) {
      assert_int_equal(n_encoder, e.inputs.len);
      assert_memory_equal(s->encoder.ids + at_encoder - n_encoder, e.inputs.data,
                          e.inputs.len * sizeof(int32_t));
    } else {
      assert_int_equal(n_encoder, 0);
    }
    check_row(s, i, begin, n_decoder, &e, plan, &counted);
    inputs += (int64_t)e.inputs.len;
    targets += (int64_t)e.targets.len;
    all->text += e.text;
  }
  all->inputs += inputs;
  all->targets += targets;
  assert_int_equal(s->encoder.tokens, at_encoder);
  assert_int_equal(s->decoder.tokens, at_decoder);
  assert_int_equal(s->n_loss_rows, counted);
  assert_true(inputs <= plan->input_tokens / plan->shards &&
              targets <= plan->target_tokens / plan->shards);
  free_example(&e);
}

static void check_batch(const cz_batch *b, const cz_source *source, const noisy *p,
                        const cz_batch_plan *plan, uint8_t *seen) {
  int64_t segments = 0, encoder = 0, decoder = 0, counted = 0;
  sums all = {0};
  assert_int_equal(b->n_shards, plan->shards);
  for (int64_t i = 0; i < b->n_shards; i++) {
    const cz_shard *s = &b->shards[i];
    check_shard(&all, s, source, p, plan, seen);
    segments += s->segments;
    encoder += s->encoder.tokens;
    decoder += s->decoder.tokens;
    counted += s->n_loss_rows;
  }
  assert_true(segments > 0);
  assert_true(all.text == b->text_tokens && all.inputs == b->input_sum &&
              all.targets == b->target_sum);
  assert_true(segments == b->segments && encoder == b->encoder_tokens &&
              decoder == b->decoder_tokens && counted == b->n_loss_rows);
  assert_int_equal(b->padded_positions,
                   plan->target_tokens +
                       (plan->layout == CZ_LAYOUT_STACK ? plan->input_tokens : 0));
  assert_int_equal(b->cut, 0);
}

/* Two passes: every example of each epoch in exactly one batch, none for examples without
 * targets. */
static void test_random_plans(void **state) {
  for (uint32_t k = 0; k < 60; k++) {
    cz_stream s;
    cz_stream_init(&s, test_seed(), "plans", k, 0);
    noisy p = random_source(&s);
    p.empty_one_in = draw(&s, 0, 1) ? 5 : 0;
    cz_source source = noisy_source(&p);
    cz_batch_plan plan = random_plan(&s, &p);
    plan.passes = 2;
    cz_batches *batches;
    const cz_batch *b;
    uint8_t *seen = calloc(2 * p.count, 1);
    uint64_t taken = 0;
    noisy again = p; /* the stream's thread has the other one */
    cz_source other = noisy_source(&again);
    for (OK(cz_batches_open(&batches, &source, &plan, NULL));; taken++) {
      OK(cz_batches_next(batches, &b));
      if (!b) break;
      assert_int_equal(b->after.batches, taken + 1);
      check_batch(b, &other, &again, &plan, seen);
    }
    OK(cz_batches_next(batches, &b)); /* the end stays the end */
    assert_null(b);
    cz_batches_close(&batches);
    cz_example e = {0};
    for (uint64_t i = 0; i < 2 * p.count; i++) {
      OK(source.get(source.self, &e, (uint32_t)(i / p.count), i % p.count));
      assert_int_equal(seen[i], e.targets.len > 0);
    }
    free_example(&e);
    free(seen);
  }
}

/* All steps are nearly full, and those of a window differ by less than the longest
 * example, though examples differ by a factor of 40, unless the budgets are too tight for
 * that and the first deal stands: rare. */
static void test_equal_cost(void **state) {
  noisy p = {.count = 5000, .most_inputs = 60, .most_targets = 20};
  cz_source source = noisy_source(&p);
  for (int64_t shards = 1; shards <= 4; shards *= 2) {
    cz_batch_plan plan = {
        .input_tokens = 2048, .target_tokens = 2048, .shards = shards, .window = 8};
    cz_batches *batches;
    const cz_batch *b;
    int64_t least = INT64_MAX, most = 0, worst = 0, loose = 0;
    OK(cz_batches_open(&batches, &source, &plan, NULL));
    for (int i = 0; i < 64; i++) {
      OK(cz_batches_next(batches, &b));
      assert_true(b->encoder_tokens > 2048 * 93 / 100);
      for (int64_t k = 0; k < shards; k++) {
        int64_t tokens = b->shards[k].encoder.tokens + b->shards[k].decoder.tokens;
        if (tokens < least) least = tokens;
        if (tokens > most) most = tokens;
      }
      if (b->after.taken) continue;
      if (most - least > worst) worst = most - least;
      loose += most - least >= 80;
      least = INT64_MAX, most = 0;
    }
    print_message("%lld shards: at most %lld tokens between the shards of a window; %lld loose\n",
                  (long long)shards, (long long)worst, (long long)loose);
    assert_true(loose <= 2); /* seen: 5 of 1,440 windows */
    cz_batches_close(&batches);
  }
}

/* The examples of an epoch do not depend on the number of shards. */
static void test_shards(void **state) {
  noisy p = {.count = 257, .most_inputs = 30, .most_targets = 9};
  cz_source source = noisy_source(&p);
  for (int64_t shards = 1; shards <= 4; shards *= 2) {
    cz_batch_plan plan = {
        .input_tokens = 240, .target_tokens = 160, .shards = shards, .window = 3, .passes = 1};
    cz_batches *batches;
    const cz_batch *b;
    uint8_t seen[257] = {0};
    noisy again = p;
    cz_source other = noisy_source(&again);
    OK(cz_batches_open(&batches, &source, &plan, NULL));
    for (OK(cz_batches_next(batches, &b)); b;) {
      check_batch(b, &other, &again, &plan, seen);
      OK(cz_batches_next(batches, &b));
    }
    for (int i = 0; i < 257; i++) assert_int_equal(seen[i], 1);
    cz_batches_close(&batches);
  }
}

static cz_status two_count(void *self, uint64_t *n, uint32_t epoch) {
  *n = 2;
  return CZ_OK;
}

static cz_status two_get(void *self, cz_example *out, uint32_t epoch, uint64_t index) {
  const int32_t *inputs = index ? (int32_t[]){9, 1} : (int32_t[]){5, 6, 7, 1},
                *targets = index ? (int32_t[]){8, 1} : (int32_t[]){3, 4, 1};
  out->inputs.len = out->targets.len = 0;
  for (int i = 0; i < (index ? 2 : 4); i++) CZ_TRY(cz_ids_add(&out->inputs, inputs[i]));
  for (int i = 0; i < (index ? 2 : 3); i++) CZ_TRY(cz_ids_add(&out->targets, targets[i]));
  return CZ_OK;
}

static const cz_batch *first_batch(cz_batches **batches, cz_layout layout, bool loss_on_inputs) {
  cz_source source = {.count = two_count, .get = two_get};
  cz_batch_plan plan = {.layout = layout,
                        .loss_on_inputs = loss_on_inputs,
                        .input_tokens = 6,
                        .target_tokens = 5,
                        .shards = 1,
                        .window = 1,
                        .passes = 1};
  const cz_batch *b;
  OK(cz_batches_open(batches, &source, &plan, NULL));
  OK(cz_batches_next(*batches, &b));
  assert_non_null(b);
  assert_int_equal(b->segments, 2);
  return b;
}

#define assert_list(found, ...)                                                                    \
  do {                                                                                             \
    const int32_t expected_[] = {__VA_ARGS__};                                                     \
    assert_memory_equal((found), expected_, sizeof expected_);                                     \
  } while (0)

static void test_layouts_by_hand(void **state) {
  enum { N = CZ_NOT_COUNTED };
  cz_batches *batches;
  const cz_shard *s = first_batch(&batches, CZ_LAYOUT_ENCDEC, false)->shards;
  assert_list(s->encoder.ids, 5, 6, 7, 1, 9, 1);
  assert_list(s->encoder.spans, 0, 4, 4, 6);
  assert_list(s->decoder.ids, 0, 3, 4, 0, 8);
  assert_list(s->targets, 3, 4, 1, 8, 1);
  assert_list(s->decoder.spans, 0, 3, 3, 5);
  assert_list(s->loss_rows, 0, 1, 2, 3, 4);
  assert_list(s->prefix, 0, 0);
  cz_batches_close(&batches);
  /* t5.md 2: the position that reads the inputs' EOS, number 4, is the last that sees and
   * is seen from the whole prefix. */
  s = first_batch(&batches, CZ_LAYOUT_STACK, false)->shards;
  assert_int_equal(s->encoder.tokens, 0);
  assert_list(s->decoder.ids, 0, 5, 6, 7, 1, 3, 4, 0, 9, 1, 8);
  assert_list(s->targets, N, N, N, N, 3, 4, 1, N, N, 8, 1);
  assert_list(s->decoder.spans, 0, 7, 7, 11);
  assert_list(s->prefix, 5, 3);
  assert_list(s->loss_rows, 4, 5, 6, 9, 10);
  assert_int_equal(s->n_loss_rows, 5);
  cz_batches_close(&batches);
  s = first_batch(&batches, CZ_LAYOUT_STACK, true)->shards;
  assert_list(s->targets, 5, 6, 7, 1, 3, 4, 1, 9, 1, 8, 1);
  assert_int_equal(s->n_loss_rows, 11);
  cz_batches_close(&batches);
}

static void test_long(void **state) {
  cz_source source = {.count = two_count, .get = two_get};
  cz_batch_plan plan = {.input_tokens = 8,
                        .target_tokens = 8,
                        .max_inputs = 3,
                        .max_targets = 2,
                        .shards = 2,
                        .window = 1,
                        .passes = 1};
  cz_batches *batches;
  const cz_batch *b;
  OK(cz_batches_open(&batches, &source, &plan, NULL));
  FAILS(cz_batches_next(batches, &b), CZ_EINVAL,
        "example 0 of epoch 0 has 4 input and 3 target tokens, the limits are 3 and 2");
  cz_batches_close(&batches);
  plan.on_long = CZ_LONG_CUT;
  OK(cz_batches_open(&batches, &source, &plan, NULL));
  OK(cz_batches_next(batches, &b));
  assert_int_equal(b->cut, 1);
  assert_list(b->shards[0].encoder.ids, 5, 6, 1);
  assert_list(b->shards[0].targets, 3, 1);
  assert_list(b->shards[1].encoder.ids, 9, 1);
  cz_batches_close(&batches);
}

static void test_bad_plans(void **state) {
  cz_source source = {.count = two_count, .get = two_get};
  const cz_batch_plan good = {.input_tokens = 8, .target_tokens = 8, .shards = 2, .window = 1};
  cz_batches *batches;
  cz_batch_plan plan = good;
  plan.shards = 3;
  FAILS(cz_batches_open(&batches, &source, &plan, NULL), CZ_EUSAGE, "can't be shared by 3 shards");
  plan = good, plan.shards = 0;
  FAILS(cz_batches_open(&batches, &source, &plan, NULL), CZ_EUSAGE, "shards 0");
  plan = good, plan.window = INT64_MAX / 2;
  FAILS(cz_batches_open(&batches, &source, &plan, NULL), CZ_EUSAGE, "window");
  plan = good, plan.input_tokens = -8;
  FAILS(cz_batches_open(&batches, &source, &plan, NULL), CZ_EUSAGE, "-8 input");
  plan = good, plan.max_inputs = 5;
  FAILS(cz_batches_open(&batches, &source, &plan, NULL), CZ_EUSAGE,
        "does not fit a shard's 4 and 4");
  assert_null(batches);
}

/* A source that fails, or has nothing to give: the batches before it arrive, then the
 * message, again and again. */
static void test_bad_sources(void **state) {
  noisy p = {.count = 100, .most_inputs = 10, .most_targets = 10, .fail_at = 90};
  cz_source source = noisy_source(&p);
  cz_batch_plan plan = {.input_tokens = 40, .target_tokens = 40, .shards = 1, .window = 2};
  cz_batches *batches;
  const cz_batch *b;
  int good = 0;
  cz_status st;
  OK(cz_batches_open(&batches, &source, &plan, NULL));
  while ((st = cz_batches_next(batches, &b)) == CZ_OK) good++;
  assert_true(good > 5);
  FAILS(st, CZ_ECORRUPT, "example 90 is rotten");
  assert_null(b);
  FAILS(cz_batches_next(batches, &b), CZ_ECORRUPT, "example 90 is rotten");
  cz_batches_close(&batches);
  cz_batches_close(&batches);
  p = (noisy){.count = 100, .most_inputs = 10, .most_targets = 10, .empty_one_in = 1};
  OK(cz_batches_open(&batches, &source, &plan, NULL));
  FAILS(cz_batches_next(batches, &b), CZ_EINVAL,
        "a whole epoch of 100 examples has none with targets");
  cz_batches_close(&batches);
  plan.passes = 1;
  OK(cz_batches_open(&batches, &source, &plan, NULL));
  OK(cz_batches_next(batches, &b));
  assert_null(b);
  cz_batches_close(&batches);
}

/* Closing while the thread is busy, ahead, or done loses nothing and hangs never. */
static void test_close_any_time(void **state) {
  noisy p = {.count = 1000, .most_inputs = 30, .most_targets = 30};
  cz_source source = noisy_source(&p);
  cz_batch_plan plan = {.input_tokens = 300, .target_tokens = 300, .shards = 1, .window = 4};
  for (int k = 0; k < 50; k++) {
    cz_batches *batches;
    const cz_batch *b;
    OK(cz_batches_open(&batches, &source, &plan, NULL));
    for (int i = 0; i < k % 5; i++) OK(cz_batches_next(batches, &b));
    assert_true(cz_batches_waited(batches) >= 0);
    cz_batches_close(&batches);
    assert_null(batches);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_random_plans), cmocka_unit_test(test_equal_cost),
      cmocka_unit_test(test_shards),       cmocka_unit_test(test_layouts_by_hand),
      cmocka_unit_test(test_long),         cmocka_unit_test(test_bad_plans),
      cmocka_unit_test(test_bad_sources),  cmocka_unit_test(test_close_any_time)};
  int failed = cmocka_run_group_tests_name("batches", tests, make_folder, drop_folder);
  return failed + run_resume_tests();
}
