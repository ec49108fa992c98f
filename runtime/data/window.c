/* Filling a window. Examples are taken in the source's order: each goes to the first
 * shard of the current batch where both budgets hold it, else to the next batch; the
 * window ends when its last batch has no room. That decides which examples the window
 * holds. Then they are dealt out anew, largest first, each to the shard that is least
 * full with it, so that the steps of a window cost alike and no step gets only short or
 * only long texts. When the second deal can't place an example, the first stands.
 *
 * With a fixed number of examples a window is one batch, and nothing is dealt anew
 * (window_examples.c). */
#include "data/window.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/** Allocates what does not depend on the data. */
cz_status cz__window_create(cz__window *w, const cz_batch_plan *plan) {
  *w = (cz__window){0};
  CZ_TRY(cz_alloc(&w->loads, (size_t)(plan->window * plan->shards), sizeof *w->loads));
  return cz_alloc(&w->cut, (size_t)plan->window, sizeof *w->cut);
}

static bool fits(const cz__load *load, const cz_example *e, const cz_batch_plan *plan) {
  return load->inputs + (int64_t)e->inputs.len <= plan->input_tokens / plan->shards &&
         load->targets + (int64_t)e->targets.len <= plan->target_tokens / plan->shards;
}

static void put(cz__window *w, size_t example, int64_t bin) {
  w->bin[example] = (int32_t)bin;
  w->loads[bin].inputs += (int64_t)w->examples[example].inputs.len;
  w->loads[bin].targets += (int64_t)w->examples[example].targets.len;
}

/* Puts EXAMPLE into the current batch or the next; false when the window is full. */
static bool put_in_order(cz__window *w, size_t example, const cz_batch_plan *plan) {
  for (int64_t batch = w->batches ? w->batches - 1 : 0; batch < plan->window; batch++) {
    for (int64_t bin = batch * plan->shards; bin < (batch + 1) * plan->shards; bin++) {
      if (!fits(&w->loads[bin], &w->examples[example], plan)) continue;
      put(w, example, bin);
      w->batches = batch + 1;
      return true;
    }
  }
  return false;
}

/* Cuts a list to CAP tokens and keeps its last one, the EOS. */
static void cut_to(cz_ids *list, int64_t cap) {
  if ((int64_t)list->len <= cap) return;
  list->data[cap - 1] = list->data[list->len - 1];
  list->len = (size_t)cap;
}

/* The rows that a head of classes reads after the inputs were cut from N tokens to CAP: the
 * last token stays the last one, any other is still there or was cut off, an error. */
static cz_status cut_rows(cz_ids *rows, int64_t n, int64_t cap) {
  for (size_t i = 0; n > cap && i < rows->len; i++) {
    if (rows->data[i] == n - 1)
      rows->data[i] = (int32_t)(cap - 1);
    else if (rows->data[i] >= cap - 1)
      return CZ_FAIL(CZ_EINVAL,
                     "the head of classes reads token %d of an example of %" PRId64
                     ", which is cut to %" PRId64,
                     rows->data[i], n, cap);
  }
  return CZ_OK;
}

/* Lists that are not as CZ_LAYOUT_TOKENS reads them would be read beyond their ends. */
static cz_status check_aligned(const cz_example *e, const cz_batch_plan *plan) {
  const size_t n = e->inputs.len, C = (size_t)plan->soft_classes;
  if ((e->types.len && e->types.len != n) || (e->labels.len && e->labels.len != n))
    return CZ_FAIL(CZ_EINVAL, "%zu tokens have %zu types and %zu labels", n, e->types.len,
                   e->labels.len);
  for (size_t i = 0; i < e->rows.len; i++)
    if (e->rows.data[i] < 0 || (size_t)e->rows.data[i] >= n ||
        (i && e->rows.data[i] <= e->rows.data[i - 1]))
      return CZ_FAIL(CZ_EINVAL,
                     "row %zu of the head of classes is token %d of %zu, expected one "
                     "behind the row before",
                     i, e->rows.data[i], n);
  if (e->rows.len && ((e->soft.len && e->soft.len != C) || (C && e->klass >= (int32_t)C)))
    return CZ_FAIL(CZ_EINVAL,
                   "soft targets over %zu classes or class %d in batches with soft targets over "
                   "%zu",
                   e->soft.len, e->klass, C);
  if (e->padding < 0 || e->padding > (int64_t)n)
    return CZ_FAIL(CZ_EINVAL, "%" PRId64 " of %zu tokens are padding", e->padding, n);
  return CZ_OK;
}

/* Several texts cover the inputs, none is empty, and each has its row, so that answer after answer
 * has as many. */
static cz_status check_texts(const cz_example *e, const cz_batch_plan *plan) {
  const size_t texts = (size_t)cz__batch_texts(plan), n = e->ends.len;
  if (n != (texts > 1 ? texts : 0) || (n && e->rows.len != n) || (n && e->padding))
    return CZ_FAIL(CZ_EINVAL,
                   "%zu texts with %zu rows of the head of classes and %" PRId64
                   " tokens of padding in batches of examples of %zu texts",
                   n ? n : 1, e->rows.len, e->padding, texts);
  for (size_t i = 0; i < n; i++) {
    const int32_t begin = i ? e->ends.data[i - 1] : 0, end = e->ends.data[i], row = e->rows.data[i];
    if (end <= begin || row < begin || row >= end || (i + 1 == n && (size_t)end != e->inputs.len))
      return CZ_FAIL(CZ_EINVAL,
                     "text %zu of %zu is tokens [%d, %d) of %zu, and its row is token %d", i, n,
                     begin, end, e->inputs.len, row);
  }
  return CZ_OK;
}

static cz_status limit_aligned(cz_example *e, int64_t cap, const cz_batch_plan *plan) {
  const int64_t n = (int64_t)e->inputs.len;
  CZ_TRY(check_aligned(e, plan));
  CZ_TRY(check_texts(e, plan));
  if (e->ends.len && n > cap)
    return CZ_FAIL(CZ_EINVAL,
                   "%zu texts of %" PRId64 " tokens together, at most %" PRId64
                   ": of several none is cut",
                   e->ends.len, n, cap);
  CZ_TRY(cut_rows(&e->rows, n, cap));
  cut_to(&e->types, cap);
  cut_to(&e->labels, cap);
  e->padding = n > cap && e->padding ? e->padding - (n - cap) : e->padding;
  if (e->padding < 0) e->padding = 0;
  return CZ_OK;
}

static cz_status limit(cz_example *e, bool *cut, const cz_batch_plan *plan, uint32_t epoch,
                       uint64_t index) {
  int64_t inputs = cz_batch_cap(plan->max_inputs, plan->input_tokens, plan->shards);
  int64_t targets = cz_batch_cap(plan->max_targets, plan->target_tokens, plan->shards);
  *cut = (int64_t)e->inputs.len > inputs || (int64_t)e->targets.len > targets;
  if (*cut && plan->on_long == CZ_LONG_REFUSE)
    return CZ_FAIL(CZ_EINVAL,
                   "example %" PRIu64
                   " of epoch %u has %zu input and %zu target tokens, the limits are %" PRId64
                   " and %" PRId64 "; raise them or cut long examples",
                   index, epoch, e->inputs.len, e->targets.len, inputs, targets);
  if (plan->layout == CZ_LAYOUT_TOKENS) {
    cz_status st = limit_aligned(e, inputs, plan);
    if (st != CZ_OK) return CZ_NOTE(st, "example %" PRIu64 " of epoch %u", index, epoch);
  }
  cut_to(&e->inputs, inputs);
  cut_to(&e->targets, targets);
  if (plan->layout == CZ_LAYOUT_ENCDEC && !e->inputs.len)
    return CZ_FAIL(CZ_EINVAL, "example %" PRIu64 " of epoch %u has no inputs for the encoder",
                   index, epoch);
  return CZ_OK;
}

/** Steps over ends of epochs. *MORE is false after the last pass. BARREN counts epochs
 * that ended since an example was found. */
cz_status cz__window_enter_epoch(cz__window *w, bool *more, int *barren, const cz_source *source,
                                 const cz_batch_plan *plan) {
  for (;;) {
    uint64_t n = 0;
    *more = !plan->passes || w->next_epoch < plan->passes;
    if (!*more) return CZ_OK;
    CZ_TRY(source->count(source->self, &n, w->next_epoch));
    if (w->next_index > n)
      return CZ_FAIL(CZ_EINVAL,
                     "the saved place is example %" PRIu64 " of epoch %u, which has %" PRIu64
                     ": the data are not those of the saved run",
                     w->next_index, w->next_epoch, n);
    if (w->next_index < n) return CZ_OK;
    if (++*barren > 2)
      return CZ_FAIL(CZ_EINVAL, "a whole epoch of %" PRIu64 " examples has none with %s", n,
                     plan->layout == CZ_LAYOUT_TOKENS ? "tokens" : "targets");
    w->next_epoch++;
    w->next_index = 0;
  }
}

/** Reads the example of next_epoch and next_index, cut to the plan's caps (*CUT), as the next
 * one of the window: the caller counts it. One with nothing to read or predict is not KEPT. */
cz_status cz__window_read(cz__window *w, bool *kept, bool *cut, const cz_source *source,
                          const cz_batch_plan *plan) {
  CZ_TRY(cz_grow(&w->examples, &w->examples_cap, w->count + 1, sizeof *w->examples));
  CZ_TRY(cz_grow(&w->bin, &w->bin_cap, w->count + 1, sizeof *w->bin));
  cz_example *e = &w->examples[w->count];
  cz_example_clear(e);
  CZ_TRY(source->get(source->self, e, w->next_epoch, w->next_index));
  *kept = (plan->layout == CZ_LAYOUT_TOKENS ? e->inputs.len : e->targets.len) > 0;
  *cut = false;
  return *kept ? limit(e, cut, plan, w->next_epoch, w->next_index) : CZ_OK;
}

static cz_status collect(cz__window *w, const cz_source *source, const cz_batch_plan *plan) {
  int barren = 0;
  for (;;) {
    bool more, kept, cut;
    CZ_TRY(cz__window_enter_epoch(w, &more, &barren, source, plan));
    if (!more) return CZ_OK;
    CZ_TRY(cz__window_read(w, &kept, &cut, source, plan));
    if (kept) {
      if (!put_in_order(w, w->count, plan)) return CZ_OK;
      w->cut[w->batches - 1] += cut;
      w->count++;
      barren = 0;
    }
    w->next_index++;
  }
}

/* How full a shard is, as the larger of its shares of the window's inputs and targets. */
static double fullness(int64_t inputs, int64_t targets, const cz__load *window) {
  double a = (double)inputs / (double)(window->inputs ? window->inputs : 1),
         b = (double)targets / (double)(window->targets ? window->targets : 1);
  return a > b ? a : b;
}

typedef struct ranked {
  double size;
  int32_t example;
} ranked;

static int largest_first(const void *a, const void *b) {
  const ranked *x = a, *y = b;
  if (x->size != y->size) return x->size < y->size ? 1 : -1;
  return x->example < y->example ? -1 : x->example > y->example;
}

/* The shard that is least full once it has taken EXAMPLE, or -1 when none can. */
static int64_t find_shard(const cz__window *w, const cz_example *e, const cz__load *window,
                          const cz_batch_plan *plan) {
  int64_t best = -1;
  double lowest = 3;
  for (int64_t bin = 0; bin < w->batches * plan->shards; bin++) {
    const cz__load *load = &w->loads[bin];
    double full = fullness(load->inputs + (int64_t)e->inputs.len,
                           load->targets + (int64_t)e->targets.len, window);
    if (full >= lowest || !fits(load, e, plan)) continue;
    best = bin;
    lowest = full;
  }
  return best;
}

/* Deals out all examples again, largest first. On failure (false) the bins are spoilt. */
static bool deal_ranked(cz__window *w, const ranked *order, const cz__load *window,
                        const cz_batch_plan *plan) {
  memset(w->loads, 0, (size_t)(plan->window * plan->shards) * sizeof *w->loads);
  for (size_t i = 0; i < w->count; i++) {
    int64_t bin = find_shard(w, &w->examples[order[i].example], window, plan);
    if (bin < 0) return false;
    put(w, (size_t)order[i].example, bin);
  }
  return true;
}

static cz_status deal(cz__window *w, const cz_batch_plan *plan) {
  ranked *order = NULL;
  int32_t *first = NULL;
  cz__load window = {0, 0};
  cz_status st;
  CZ_GO(st, cz_alloc(&order, w->count, sizeof *order), done);
  CZ_GO(st, cz_alloc(&first, w->count, sizeof *first), done);
  memcpy(first, w->bin, w->count * sizeof *first);
  for (size_t i = 0; i < w->count; i++) {
    window.inputs += (int64_t)w->examples[i].inputs.len;
    window.targets += (int64_t)w->examples[i].targets.len;
  }
  for (size_t i = 0; i < w->count; i++)
    order[i] = (ranked){
        fullness((int64_t)w->examples[i].inputs.len, (int64_t)w->examples[i].targets.len, &window),
        (int32_t)i};
  qsort(order, w->count, sizeof *order, largest_first);
  if (!deal_ranked(w, order, &window, plan)) memcpy(w->bin, first, w->count * sizeof *first);
done:
  free(order);
  free(first);
  return st;
}

/** Reads the window that begins with example INDEX of EPOCH. No batches at the end of the
 * last pass. */
cz_status cz__window_fill(cz__window *w, const cz_source *source, const cz_batch_plan *plan,
                          uint32_t epoch, uint64_t index) {
  w->count = 0;
  w->batches = 0;
  w->next_epoch = epoch;
  w->next_index = index;
  memset(w->loads, 0, (size_t)(plan->window * plan->shards) * sizeof *w->loads);
  memset(w->cut, 0, (size_t)plan->window * sizeof *w->cut);
  if (plan->examples) return cz__window_collect_examples(w, source, plan);
  CZ_TRY(collect(w, source, plan));
  return w->count ? deal(w, plan) : CZ_OK;
}

/** Frees everything; accepts a zero-initialised window. */
void cz__window_free(cz__window *w) {
  for (size_t i = 0; i < w->examples_cap; i++) cz_example_free(&w->examples[i]);
  free(w->examples);
  free(w->bin);
  free(w->loads);
  free(w->cut);
  *w = (cz__window){0};
}
