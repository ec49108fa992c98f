#include "ensemble/draw.h"
#include "device/random.h"

#include <stdlib.h>
#include <string.h>

const char *const cz_draw_names[] = {"paper", "balanced", "random", NULL};
const char *const cz_unlabelled_names[] = {"all", "per_label", "random", NULL};

/** COUNTS [classes]: TOTAL in parts that differ by one at most; the first classes of ORDER (null:
 * as they are numbered) have one more. The published code calls it `eq_div` (pet.md 4.1). */
void cz_draw_split(int64_t *counts, int64_t total, int32_t classes, const int32_t *order) {
  for (int32_t i = 0; i < classes; i++)
    counts[order ? order[i] : i] = total / classes + (i < total % classes);
}

static cz_status check_pool(const cz_pool *pool) {
  if (pool->n > INT32_MAX)
    return CZ_FAIL(CZ_EINVAL, "%zu texts to draw from; at most %d", pool->n, INT32_MAX);
  for (size_t i = 0; pool->labels && i < pool->n; i++)
    if (pool->labels[i] < -1 || pool->labels[i] >= pool->classes)
      return CZ_FAIL(CZ_EINVAL, "row %zu has class %d of %d", i, pool->labels[i], pool->classes);
  return CZ_OK;
}

/** CANDIDATES [n]: the rows of POOL that may be drawn, those whose text is not in EXCLUDED and in
 * no earlier row; COUNTS->repeated and ->elsewhere, the others. */
cz_status cz_draw_candidates(bool *candidates, cz_drawn *counts, const cz_pool *pool,
                             const cz_hash_set *excluded) {
  cz_hash_set seen = {0};
  cz_status st = CZ_OK;
  counts->repeated = counts->elsewhere = 0;
  for (size_t i = 0; i < pool->n; i++) {
    bool elsewhere = excluded && cz_hash_set_has(excluded, pool->hashes[i]);
    CZ_GO(st, cz_hash_set_add(&seen, &candidates[i], pool->hashes[i]), done);
    counts->elsewhere += elsewhere;
    counts->repeated += !elsewhere && !candidates[i];
    candidates[i] &= !elsewhere;
  }
done:
  cz_hash_set_free(&seen);
  return st;
}

/* What a draw works with. */
typedef struct drawing {
  const cz_pool *pool;
  bool *candidates, *drawn; /* [n] of the pool */
  int32_t *items;           /* [n] scratch */
  cz_drawn *out;
} drawing;

static cz_status begin(drawing *d, cz_drawn *out, cz_arena *arena, const cz_pool *pool,
                       const cz_hash_set *excluded) {
  *d = (drawing){.pool = pool, .out = out};
  memset(out, 0, sizeof *out);
  CZ_TRY(check_pool(pool));
  CZ_TRY(cz_arena_alloc(arena, &d->candidates, pool->n, sizeof *d->candidates));
  CZ_TRY(cz_arena_alloc(arena, &d->drawn, pool->n, sizeof *d->drawn));
  CZ_TRY(cz_arena_alloc(arena, &d->items, pool->n, sizeof *d->items));
  CZ_TRY(cz_arena_alloc(arena, &out->rows, pool->n, sizeof *out->rows));
  CZ_TRY(cz_arena_alloc(arena, &out->missing, (size_t)pool->classes, sizeof *out->missing));
  return cz_draw_candidates(d->candidates, out, pool, excluded);
}

static void finish(drawing *d) {
  d->out->n = 0;
  for (size_t i = 0; i < d->pool->n; i++)
    if (d->drawn[i]) d->out->rows[d->out->n++] = (int32_t)i;
}

enum { ANY_CLASS = -2, ANY_LABELLED = -3 };

static bool belongs(const cz_pool *pool, size_t row, int32_t class) {
  int32_t label = pool->labels ? pool->labels[row] : -1;
  return class == ANY_CLASS || label == class || (class == ANY_LABELLED && label >= 0);
}

/* Draws COUNT of the candidates of CLASS, in file order, or in that of STREAM; returns how many did
 * not exist. */
static int64_t draw_class(drawing *d, int32_t class, int64_t count, cz_stream *stream) {
  int64_t n = 0;
  for (size_t i = 0; i < d->pool->n; i++)
    if (d->candidates[i] && belongs(d->pool, i, class)) d->items[n++] = (int32_t)i;
  if (stream) cz_stream_shuffle(stream, d->items, n);
  int64_t taken = count < n ? count : n;
  for (int64_t i = 0; i < taken; i++) d->drawn[d->items[i]] = true;
  return count - taken;
}

/* As many of each label; which of them have one more is drawn as well. */
static cz_status draw_balanced(drawing *d, int64_t t, uint64_t seed) {
  int32_t classes = d->pool->classes, *order;
  int64_t *counts = d->out->missing;
  cz_stream s;
  CZ_TRY(cz_alloc(&order, (size_t)classes, sizeof *order));
  for (int32_t c = 0; c < classes; c++) order[c] = c;
  cz_stream_init(&s, seed, "draw of T, labels", 0, 0);
  cz_stream_shuffle(&s, order, classes);
  cz_draw_split(counts, t, classes, order);
  free(order);
  for (int32_t c = 0; c < classes; c++) {
    cz_stream_init(&s, seed, "draw of T", (uint32_t)c, 0);
    counts[c] = draw_class(d, c, counts[c], &s);
  }
  return CZ_OK;
}

static void draw_paper(drawing *d, int64_t t) {
  int64_t *counts = d->out->missing;
  cz_draw_split(counts, t, d->pool->classes, NULL);
  for (int32_t c = 0; c < d->pool->classes; c++) counts[c] = draw_class(d, c, counts[c], NULL);
}

static cz_status count_absent(drawing *d, cz_arena *arena) {
  bool *has;
  CZ_TRY(cz_arena_alloc(arena, &has, (size_t)d->pool->classes, sizeof *has));
  for (size_t i = 0; i < d->out->n; i++) has[d->pool->labels[d->out->rows[i]]] = true;
  for (int32_t c = 0; c < d->pool->classes; c++) d->out->absent += !has[c];
  return CZ_OK;
}

/** Draws T, T texts of the labelled rows of POOL without those in EXCLUDED (null: none); 0 is
 * legal: zero-shot. What a label lacks stays missing, other labels do not stand in for it. SEED is
 * not read by `paper`. CZ_EINVAL for a class that does not exist and a negative T. */
cz_status cz_draw_labelled(cz_drawn *out, cz_arena *arena, const cz_pool *pool,
                           const cz_hash_set *excluded, cz_draw_kind kind, int64_t t,
                           uint64_t seed) {
  drawing d;
  cz_stream s;
  if (t < 0 || pool->classes < 1 || !pool->labels)
    return CZ_FAIL(CZ_EINVAL, "a draw of %lld labelled texts of %d classes from rows %s labels",
                   (long long)t, pool->classes, pool->labels ? "with" : "without");
  CZ_TRY(begin(&d, out, arena, pool, excluded));
  if (kind == CZ_DRAW_PAPER) draw_paper(&d, t);
  if (kind == CZ_DRAW_BALANCED) CZ_TRY(draw_balanced(&d, t, seed));
  if (kind == CZ_DRAW_RANDOM) {
    cz_stream_init(&s, seed, "draw of T, any", 0, 0);
    draw_class(&d, ANY_LABELLED, t, &s);
    out->missing = NULL;
  }
  finish(&d);
  out->below_labels = t < pool->classes;
  return count_absent(&d, arena);
}

/** Draws D from the rows of POOL without those in EXCLUDED: the test set's, and T's unless T was
 * drawn by `paper`. N: texts per label, or in all; not read by `all`. Of `per_label` the labels are
 * those of POOL, and out->missing says what they lack; rows without a label are then not drawn. D
 * may come out empty. CZ_EINVAL for a class that does not exist and a negative N. */
cz_status cz_draw_unlabelled(cz_drawn *out, cz_arena *arena, const cz_pool *pool,
                             const cz_hash_set *excluded, cz_unlabelled_kind kind, int64_t n,
                             uint64_t seed) {
  drawing d;
  cz_stream s;
  if (kind != CZ_UNLABELLED_ALL && n < 0)
    return CZ_FAIL(CZ_EINVAL, "a draw of %lld unlabelled texts", (long long)n);
  if (kind == CZ_UNLABELLED_PER_LABEL && !pool->labels)
    return CZ_FAIL(CZ_EINVAL, "unlabelled texts per label need rows with labels: take `all` or "
                              "`random` of a file without");
  CZ_TRY(begin(&d, out, arena, pool, excluded));
  if (kind == CZ_UNLABELLED_ALL) draw_class(&d, ANY_CLASS, INT32_MAX, NULL);
  if (kind == CZ_UNLABELLED_RANDOM) {
    cz_stream_init(&s, seed, "draw of D", 0, 0);
    draw_class(&d, ANY_CLASS, n, &s);
  }
  if (kind == CZ_UNLABELLED_PER_LABEL)
    for (int32_t c = 0; c < pool->classes; c++) out->missing[c] = draw_class(&d, c, n, NULL);
  else
    out->missing = NULL;
  finish(&d);
  return CZ_OK;
}

/* ITEMS [n]: the first of each label in the order of LABELS_IN_TURN, then the second of each, and
 * so on; RANK [texts] is each text's place among those of its label. */
static void take_in_turn(int32_t *items, size_t n, const int32_t *labels, const int32_t *rank,
                         size_t texts, const int32_t *labels_in_turn, int32_t classes) {
  size_t taken = 0;
  for (int32_t round = 0; taken < n; round++)
    for (int32_t c = 0; c < classes && taken < n; c++)
      for (size_t i = 0; i < texts; i++)
        if (labels[i] == labels_in_turn[c] && rank[i] == round) {
          items[taken++] = (int32_t)i;
          break;
        }
}

/** ITEMS [*n]: numbers of *N of the TEXTS, all of which have one of CLASSES labels, to be shown in
 * this order under PATTERN; *N becomes TEXTS where it is more. Labels have as many each as there
 * are texts of them, and which have one more is drawn, too. Whoever asks for more gets the same
 * ones and others, in another order. */
cz_status cz_draw_demonstrations(int32_t *items, size_t *n, const int32_t *labels, size_t texts,
                                 int32_t classes, uint64_t seed, int32_t pattern) {
  int32_t *room;
  cz_stream s;
  if (*n > texts) *n = texts;
  CZ_TRY(cz_alloc(&room, 2 * texts + 2 * (size_t)classes, sizeof *room));
  int32_t *order = room, *rank = order + texts, *turn = rank + texts, *seen = turn + classes;
  for (size_t i = 0; i < texts; i++) order[i] = (int32_t)i;
  for (int32_t c = 0; c < classes; c++) turn[c] = c;
  cz_stream_init(&s, seed, "demonstrations", (uint32_t)pattern, 0);
  cz_stream_shuffle(&s, order, (int64_t)texts);
  cz_stream_shuffle(&s, turn, classes);
  for (size_t i = 0; i < texts; i++) rank[order[i]] = seen[labels[order[i]]]++;
  take_in_turn(items, *n, labels, rank, texts, turn, classes);
  cz_stream_init(&s, seed, "order of demonstrations", (uint32_t)pattern, 0);
  cz_stream_shuffle(&s, items, (int64_t)*n);
  free(room);
  return CZ_OK;
}
