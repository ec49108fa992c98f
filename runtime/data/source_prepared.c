/* Prepared examples as a source. An order that is drawn anew each epoch would put a text
 * twice into a batch that begins in one epoch and ends in the next: there the next epoch's
 * order is mended. */
#include "data/prepared.h"
#include "device/random.h"

#include <stdlib.h>

typedef struct prepared {
  const cz_prepared *set;
  cz_prepared_use use;
  bool planned;
  uint32_t epoch;
  int32_t *order, *drawn; /* [count] of `epoch`; scratch */
  bool *taken;            /* [count] in the batch that epoch begins within; all false between */
} prepared;

static cz_status prepared_count(void *self, uint64_t *n, uint32_t epoch) {
  const prepared *p = self;
  (void)epoch;
  *n = p->use.first ? (uint64_t)p->use.first : p->set->count;
  return CZ_OK;
}

static void shuffle(int32_t *order, const prepared *p, uint32_t epoch) {
  cz_stream s;
  cz_stream_init(&s, p->use.seed, "data.prepared", epoch, 0);
  for (size_t i = 0; i < p->set->count; i++) order[i] = (int32_t)i;
  cz_stream_shuffle(&s, order, (int64_t)p->set->count);
}

/* Whether orders of epochs depend on one another: a batch must be able to hold different
 * texts alone. */
static bool chained(const prepared *p) {
  return p->use.order == CZ_ORDER_DRAWN && p->use.together > 1 &&
         (uint64_t)p->use.together <= p->set->count;
}

/* From the order of one epoch to that of the next. Of the batch that is under way, the last
 * REST examples of the old order are taken; the next epoch fills it up with the first of its
 * order that are not among them, and goes on with the others in order. */
static void advance(prepared *p) {
  const uint64_t n = p->set->count, together = (uint64_t)p->use.together;
  const uint64_t rest = ((uint64_t)p->epoch + 1) * n % together;
  uint64_t fill = rest ? together - rest : 0, at = 0;
  shuffle(p->drawn, p, p->epoch + 1);
  for (uint64_t i = n - rest; i < n; i++) p->taken[p->order[i]] = true;
  const int32_t *tail = p->order + (n - rest);
  for (uint64_t i = 0; i < n && fill; i++) { /* the first that are new to the batch */
    if (p->taken[p->drawn[i]]) continue;
    p->drawn[i] = -1 - p->drawn[i];
    fill--;
  }
  for (uint64_t i = 0; i < rest; i++) p->taken[tail[i]] = false;
  for (uint64_t i = 0; i < n; i++)
    if (p->drawn[i] < 0) p->order[at++] = -1 - p->drawn[i];
  for (uint64_t i = 0; i < n; i++)
    if (p->drawn[i] >= 0) p->order[at++] = p->drawn[i];
  p->epoch++;
}

static int64_t length_of(const cz_prepared *set, int32_t i) {
  size_t n;
  cz_id_lists_at(&set->inputs, (size_t)i, &n);
  return (int64_t)n;
}

typedef struct ranked {
  int64_t length;
  int32_t example;
} ranked;

static int longest_first(const void *a, const void *b) {
  const ranked *x = a, *y = b;
  if (x->length != y->length) return x->length < y->length ? 1 : -1;
  return x->example < y->example ? -1 : x->example > y->example;
}

static cz_status sort_by_length(prepared *p) {
  const size_t n = p->set->count;
  ranked *all;
  CZ_TRY(cz_alloc(&all, n, sizeof *all));
  for (size_t i = 0; i < n; i++) all[i] = (ranked){length_of(p->set, (int32_t)i), (int32_t)i};
  qsort(all, n, sizeof *all, longest_first);
  for (size_t i = 0; i < n; i++) p->order[i] = all[i].example;
  free(all);
  return CZ_OK;
}

/* Orders that are not drawn stay as they were made. Of a chain, going on to a later epoch is
 * quick, going back begins anew. */
static void plan(prepared *p, uint32_t epoch) {
  if (p->use.order != CZ_ORDER_DRAWN || (p->planned && p->epoch == epoch)) return;
  const bool anew = !p->planned || epoch < p->epoch || !chained(p);
  if (anew) {
    p->epoch = chained(p) ? 0 : epoch;
    shuffle(p->order, p, p->epoch);
    p->planned = true;
  }
  while (p->epoch < epoch) advance(p);
}

static cz_status copy_list(cz_ids *out, const cz_id_lists *l, int32_t i) {
  const uint64_t begin = i ? l->ends[i - 1] : 0;
  return cz_ids_append(out, l->all.data ? l->all.data + begin : NULL,
                       (int64_t)(l->ends[i] - begin));
}

static cz_status copy_soft(cz_reals *out, const cz_prepared *set, int32_t i) {
  const size_t C = (size_t)set->soft_classes;
  if (!C) return CZ_OK;
  CZ_TRY(cz_grow(&out->data, &out->cap, C, sizeof *out->data));
  memcpy(out->data, set->soft.data + (size_t)i * C, C * sizeof *out->data);
  out->len = C;
  return CZ_OK;
}

static cz_status prepared_get(void *self, cz_example *out, uint32_t epoch, uint64_t index) {
  prepared *p = self;
  const cz_prepared *set = p->set;
  CZ_CHECK(index < set->count);
  plan(p, epoch);
  const int32_t i = p->order[index];
  cz_example_clear(out);
  CZ_TRY(copy_list(&out->inputs, &set->inputs, i));
  CZ_TRY(copy_list(&out->types, &set->types, i));
  CZ_TRY(copy_list(&out->labels, &set->labels, i));
  CZ_TRY(copy_list(&out->rows, &set->rows, i));
  CZ_TRY(copy_list(&out->ends, &set->ends, i));
  CZ_TRY(copy_soft(&out->soft, set, i));
  out->klass = set->classes[i];
  out->number = i;
  out->text = set->texts[i];
  return p->use.alter ? p->use.alter(p->use.alter_self, out, epoch, (uint32_t)i) : CZ_OK;
}

static void prepared_destroy(void *self) {
  prepared *p = self;
  free(p->order);
  free(p->drawn);
  free(p->taken);
  free(p);
}

static cz_status make_order(prepared *p) {
  const size_t n = p->set->count;
  CZ_TRY(cz_alloc(&p->order, n, sizeof *p->order));
  CZ_TRY(cz_alloc(&p->drawn, n, sizeof *p->drawn));
  CZ_TRY(cz_alloc(&p->taken, n, sizeof *p->taken));
  for (size_t i = 0; i < n; i++) p->order[i] = (int32_t)i;
  return p->use.order == CZ_ORDER_LENGTH ? sort_by_length(p) : CZ_OK;
}

/** A source of the examples of SET as USE says, each with its number in the set. SET is
 * borrowed and must not grow until the source is destroyed. CZ_EINVAL when it has none.
 * Two sources that are read side by side should get different seeds. */
cz_status cz_source_prepared(cz_source *out, const cz_prepared *set, const cz_prepared_use *use) {
  *out = (cz_source){0};
  if (set->count < 1) return CZ_FAIL(CZ_EINVAL, "a set of no examples is nothing to read");
  prepared *p;
  CZ_TRY(cz_alloc(&p, 1, sizeof *p));
  *p = (prepared){.set = set, .use = *use};
  cz_status st = make_order(p);
  if (st != CZ_OK) {
    prepared_destroy(p);
    return st;
  }
  *out = (cz_source){
      .self = p, .count = prepared_count, .get = prepared_get, .destroy = prepared_destroy};
  return CZ_OK;
}
