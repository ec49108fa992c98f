#include "tokens_setup.h"
#include "base/hash.h"

static void add_list(cz_ids *out, const int32_t *ids) {
  for (int i = 0; ids && ids[i] != END; i++) OK(cz_ids_add(out, ids[i]));
}

void add_example(cz_prepared *set, const int32_t *inputs, const int32_t *types,
                 const int32_t *labels, const int32_t *rows, int32_t klass) {
  cz_example e = {0};
  cz_example_clear(&e);
  add_list(&e.inputs, inputs);
  add_list(&e.types, types);
  add_list(&e.labels, labels);
  add_list(&e.rows, rows);
  e.klass = klass;
  OK(cz_prepared_add(set, &e));
  cz_example_free(&e);
}

void make_set(cz_prepared *set, int32_t n, int64_t longest, int32_t first, bool labelled) {
  cz_stream s;
  cz_stream_init(&s, test_seed(), "set", (uint32_t)n, (uint32_t)first);
  for (int32_t i = 0; i < n; i++) {
    cz_example e = {0};
    cz_example_clear(&e);
    int64_t length = draw(&s, 1, longest);
    for (int64_t k = 0; k < length; k++) OK(cz_ids_add(&e.inputs, first + i));
    if (labelled) OK(cz_ids_add(&e.rows, 0));
    e.klass = labelled ? i % 3 : -1;
    e.text = length;
    OK(cz_prepared_add(set, &e));
    cz_example_free(&e);
  }
}

static uint64_t hash_shard(const cz_shard *s, int64_t C, uint64_t h) {
  h = cz_hash64(s->decoder.ids, (size_t)s->decoder.tokens * 4, h);
  h = cz_hash64(s->decoder.spans, (size_t)s->segments * 8, h);
  h = cz_hash64(s->types, (size_t)s->decoder.tokens * 4, h);
  h = cz_hash64(s->targets, (size_t)s->decoder.tokens * 4, h);
  h = cz_hash64(s->loss_rows, (size_t)s->n_loss_rows * 4, h);
  h = cz_hash64(s->loss_targets, (size_t)s->n_loss_rows * 4, h);
  h = cz_hash64(s->class_rows, (size_t)s->n_class_rows * 4, h);
  h = cz_hash64(s->classes, (size_t)s->n_class_rows * 4, h);
  h = cz_hash64(s->prefix, (size_t)s->segments * 4, h);
  h = cz_hash64(s->numbers, (size_t)s->segments * 8, h);
  return C ? cz_hash64(s->soft, (size_t)(s->n_class_rows * C) * 8, h) : h;
}

void follow_tokens(seen *s, const cz_source *source, const cz_batch_plan *plan,
                   const cz_cursor *from, int maximum) {
  cz_batches *batches;
  const cz_batch *b;
  assert_true(maximum <= BATCHES && plan->shards <= SHARDS);
  memset(s, 0, sizeof *s);
  OK(cz_batches_open(&batches, source, plan, from));
  for (; s->n_batches < maximum; s->n_batches++) {
    const int i = s->n_batches;
    OK(cz_batches_next(batches, &b));
    if (!b) break;
    s->after[i] = b->after;
    for (int64_t k = 0; k < plan->shards; k++) {
      const cz_shard *shard = &b->shards[k];
      s->hash[i] = hash_shard(shard, plan->soft_classes, s->hash[i]);
      s->n[i][k] = shard->segments;
      assert_true(shard->segments <= EACH);
      for (int64_t e = 0; e < shard->segments; e++) {
        s->numbers[i][k][e] = shard->numbers[e];
        s->firsts[i][k][e] = shard->decoder.ids[shard->decoder.spans[2 * e]];
      }
    }
  }
  cz_batches_close(&batches);
}

/* A plan of so many examples of at most LONGEST tokens. */
cz_batch_plan plan_of(int64_t examples, int64_t shards, int64_t longest) {
  cz_batch_plan plan = {.layout = CZ_LAYOUT_TOKENS,
                        .shards = shards,
                        .window = 32,
                        .examples = examples,
                        .max_inputs = longest};
  cz_batch_budgets(&plan);
  return plan;
}
