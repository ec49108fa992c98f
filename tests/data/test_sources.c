/* Pieces: every kept token of every document is in exactly one piece of an epoch,
 * whatever the cut; epochs differ; any example can be asked for at any time. */
#include "setup.h"

#include <stdio.h>

int run_mixture_tests(void);

enum { MAXIMUM_DOCUMENTS = 400 };

typedef struct problem {
  int64_t lengths[MAXIMUM_DOCUMENTS], n, total;
  cz_cut cut;
  cz_reader *reader;
  cz_source source;
} problem;

static void make_problem(problem *p, uint32_t index) {
  cz_stream s;
  cz_stream_init(&s, test_seed(), "pieces", index, 0);
  *p = (problem){.n = draw(&s, 1, MAXIMUM_DOCUMENTS)};
  for (int64_t i = 0; i < p->n; i++)
    p->total += p->lengths[i] = draw(&s, 0, 9) ? draw(&s, 1, 60) : draw(&s, 1, 2000);
  p->cut = (cz_cut){.piece_tokens = draw(&s, 1, 300),
                    .concatenate = draw(&s, 0, 1),
                    .chunk_tokens = draw(&s, 200, 3000),
                    .group_documents = draw(&s, 1, 128)};
  print_message("problem %u: %lld documents, pieces of %lld, chunks of %lld, groups of %lld (%d)\n",
                index, (long long)p->n, (long long)p->cut.piece_tokens,
                (long long)p->cut.chunk_tokens, (long long)p->cut.group_documents,
                p->cut.concatenate);
  write_counting(under("pieces.h5"), p->lengths, p->n);
  p->reader = open_documents(under("pieces.h5"));
  OK(cz_source_pieces(&p->source, p->reader, &p->cut, keep_piece, NULL, test_seed()));
}

static void free_problem(problem *p) {
  cz_source_destroy(&p->source);
  cz_reader_close(&p->reader);
}

/* Marks the tokens of one piece in SEEN and checks that it is a run of whole parts of
 * documents. */
static void mark_piece(const problem *p, const cz_ids *piece, uint8_t *seen,
                       const int32_t *document_of) {
  assert_in_range(piece->len, 1, p->cut.piece_tokens);
  for (size_t i = 0; i < piece->len; i++) {
    int32_t t = piece->data[i];
    assert_in_range(t, 0, p->total - 1);
    assert_int_equal(seen[t], 0);
    seen[t] = 1;
    bool follows = i > 0 && t == piece->data[i - 1] + 1;
    if (i > 0 && !p->cut.concatenate) assert_true(follows && document_of[t] == document_of[t - 1]);
  }
}

/* Of each document: everything, or one whole aligned chunk when it is longer than that.
 * Returns how many tokens are kept. */
static int64_t check_kept(const problem *p, const uint8_t *seen) {
  int64_t all = 0;
  for (int64_t i = 0, at = 0; i < p->n; at += p->lengths[i++]) {
    int64_t kept = 0, first = -1;
    for (int64_t k = 0; k < p->lengths[i]; k++) {
      if (seen[at + k] && first < 0) first = k;
      kept += seen[at + k];
    }
    int64_t chunk = p->cut.chunk_tokens, rest = p->lengths[i] - first;
    assert_int_equal(first % chunk, 0);
    assert_int_equal(kept, p->lengths[i] <= chunk ? p->lengths[i] : rest < chunk ? rest : chunk);
    for (int64_t k = first; k < first + kept; k++) assert_int_equal(seen[at + k], 1);
    all += kept;
  }
  return all;
}

static void check_epoch(problem *p, uint32_t epoch, const int32_t *document_of, int32_t *first_of,
                        uint64_t *count) {
  uint8_t *seen = calloc((size_t)p->total, 1), *given = calloc((size_t)p->total, 1);
  cz_example e = {0};
  int64_t tokens = 0, shorter = 0;
  OK(p->source.count(p->source.self, count, epoch));
  for (uint64_t i = 0; i < *count; i++) {
    OK(p->source.get(p->source.self, &e, epoch, i));
    mark_piece(p, &e.targets, seen, document_of);
    assert_in_range(e.inputs.data[0], 0, *count - 1);
    assert_int_equal(given[e.inputs.data[0]]++, 0); /* each number once */
    first_of[i] = e.targets.data[0];
    assert_int_equal(e.text, e.targets.len); /* keep_piece leaves the piece as it is */
    tokens += (int64_t)e.targets.len;
    shorter += (int64_t)e.targets.len < p->cut.piece_tokens;
  }
  assert_int_equal(check_kept(p, seen), tokens);
  int64_t size = p->cut.concatenate ? p->cut.group_documents : 1;
  assert_true(shorter <= (p->n + size - 1) / size);
  free_example(&e);
  free(seen);
  free(given);
}

static void test_pieces(void **state) {
  for (uint32_t k = 0; k < 12; k++) {
    problem p;
    make_problem(&p, k);
    int32_t *document_of = calloc((size_t)p.total, sizeof *document_of);
    for (int64_t i = 0, at = 0; i < p.n; at += p.lengths[i++])
      for (int64_t t = 0; t < p.lengths[i]; t++) document_of[at + t] = (int32_t)i;
    int32_t *first[3];
    uint64_t count[3];
    for (uint32_t epoch = 0; epoch < 3; epoch++) {
      first[epoch] = calloc((size_t)p.total, sizeof **first);
      check_epoch(&p, epoch, document_of, first[epoch], &count[epoch]);
    }
    if (count[0] > 20 && count[0] == count[1])
      assert_memory_not_equal(first[0], first[1], count[0] * sizeof **first);
    cz_example e = {0};
    cz_stream s;
    cz_stream_init(&s, test_seed(), "random access", k, 0);
    for (int i = 0; i < 200; i++) {
      uint32_t epoch = (uint32_t)draw(&s, 0, 2);
      uint64_t index = (uint64_t)draw(&s, 0, (int64_t)count[epoch] - 1);
      OK(p.source.get(p.source.self, &e, epoch, index));
      assert_int_equal(e.targets.data[0], first[epoch][index]);
    }
    free_example(&e);
    for (int i = 0; i < 3; i++) free(first[i]);
    free(document_of);
    free_problem(&p);
  }
}

/* Two objectives as training sees them: one parts its piece, the other writes all that it
 * reads. Without EOS. */
static cz_status part_piece(const void *self, const cz_piece *piece, cz_example *out) {
  (void)self;
  out->inputs.len = out->targets.len = 0;
  for (int64_t i = 0; i < piece->n; i++)
    CZ_TRY(cz_ids_add(i < piece->n / 2 + 1 && i < piece->n - 1 ? &out->inputs : &out->targets,
                      piece->ids[i]));
  return out->inputs.len ? CZ_OK : cz_ids_add(&out->inputs, out->targets.data[0]);
}

static cz_status copy_piece(const void *self, const cz_piece *piece, cz_example *out) {
  (void)self;
  out->inputs.len = out->targets.len = 0;
  for (int64_t i = 0; i < piece->n; i++) {
    CZ_TRY(cz_ids_add(&out->inputs, piece->ids[i]));
    CZ_TRY(cz_ids_add(&out->targets, piece->ids[i]));
  }
  return CZ_OK;
}

/* Marks the documents that STEPS batches of 512 / 512 tokens are made of, as a training stage
 * takes them; returns how many tokens of text these were, by the batches' own count and
 * by counting what the decoders have to write. */
static int64_t train_on(uint8_t *seen, cz_cut cut, cz_corrupt_fn objective,
                        const int32_t *document_of, int steps, uint64_t of_seed) {
  cz_reader *r = open_documents(under("paired.h5"));
  cz_source s;
  cz_batches *batches;
  const cz_batch *b;
  int64_t text = 0;
  const cz_batch_plan plan = {
      .input_tokens = 512, .target_tokens = 512, .shards = 2, .window = 8, .start = 0};
  OK(cz_source_pieces(&s, r, &cut, objective, NULL, of_seed));
  OK(cz_batches_open(&batches, &s, &plan, NULL));
  for (int i = 0; i < steps; i++) {
    OK(cz_batches_next(batches, &b));
    for (int64_t k = 0; k < b->n_shards; k++)
      for (int64_t t = 0; t < b->shards[k].decoder.tokens; t++)
        seen[document_of[b->shards[k].targets[t]]] = 1;
    text += b->text_tokens;
  }
  cz_batches_close(&batches);
  cz_source_destroy(&s);
  cz_reader_close(&r);
  return text;
}

/* Under the budgets of training, rows of one seed go through the documents in the same order
 * and read different amounts: the documents of the row that read less are among those of the
 * other, up to a block. Another seed has another order. */
static void test_paired(void **state) {
  enum { N = 6000, STEPS = 80 };
  static int64_t lengths[N];
  static int32_t document_of[N * 60];
  static uint8_t parted[N], copied[N], other[N];
  cz_stream s;
  cz_stream_init(&s, test_seed(), "paired", 0, 0);
  int64_t total = 0;
  for (int i = 0; i < N; i++) {
    lengths[i] = draw(&s, 1, 60);
    for (int64_t k = 0; k < lengths[i]; k++) document_of[total++] = i;
  }
  write_counting(under("paired.h5"), lengths, N);
  cz_cut apart = {.piece_tokens = 127, .chunk_tokens = 65536, .group_documents = 128},
         joined = apart;
  joined.concatenate = true;
  int64_t more = train_on(parted, apart, part_piece, document_of, STEPS, test_seed()),
          less = train_on(copied, joined, copy_piece, document_of, STEPS, test_seed());
  train_on(other, apart, part_piece, document_of, STEPS, test_seed() + 1);
  int both = 0, chance = 0, n = 0;
  for (int i = 0; i < N; i++)
    n += copied[i], both += parted[i] && copied[i], chance += other[i] && copied[i];
  print_message("%lld and %lld tokens of text; of %d documents the other cut read %d, the other "
                "seed %d\n",
                (long long)more, (long long)less, n, both, chance);
  assert_true(less <= STEPS * 512 && less > 0.8 * STEPS * 512); /* all that is read is written */
  assert_true(more <= STEPS * 1024 && more > 1.5 * (double)less);
  assert_true(n > 0.15 * N && both > 0.9 * n && chance < 0.6 * n);
}

/* Of documents of four chunks each chunk is the one that is kept equally often: 1,000 +-
 * 4.5 deviations of 27. */
static void test_chunks(void **state) {
  enum { N = 4000, CHUNK = 10 };
  static int64_t lengths[N];
  int count[4] = {0};
  for (int i = 0; i < N; i++) lengths[i] = 4 * CHUNK;
  write_counting(under("chunks.h5"), lengths, N);
  cz_reader *r = open_documents(under("chunks.h5"));
  cz_source s;
  cz_example e = {0};
  cz_cut cut = {.piece_tokens = CHUNK, .chunk_tokens = CHUNK, .group_documents = 1};
  OK(cz_source_pieces(&s, r, &cut, keep_piece, NULL, test_seed()));
  for (uint64_t i = 0; i < N; i++) {
    OK(s.get(s.self, &e, 0, i));
    count[e.targets.data[0] / CHUNK % 4]++;
  }
  for (int c = 0; c < 4; c++)
    if (abs(count[c] - N / 4) > 123)
      fail_msg("chunk %d of 4 was kept in %d of %d documents", c, count[c], N);
  free_example(&e);
  cz_source_destroy(&s);
  cz_reader_close(&r);
}

/* Four documents of 5, 3, 4 and 2 tokens, joined in pairs and cut at 4: each pair gives
 * 4s and one rest, in the order of its documents. */
static void test_groups_by_hand(void **state) {
  write_counting(under("hand.h5"), (int64_t[]){5, 3, 4, 2}, 4);
  cz_reader *r = open_documents(under("hand.h5"));
  cz_cut cut = {.piece_tokens = 4, .concatenate = true, .chunk_tokens = 100, .group_documents = 2};
  cz_source s;
  OK(cz_source_pieces(&s, r, &cut, keep_piece, NULL, test_seed()));
  static const int begin[] = {0, 5, 8, 12}, end[] = {5, 8, 12, 14};
  for (uint32_t epoch = 0; epoch < 20; epoch++) {
    uint64_t n;
    int32_t row[14], at = 0, piece_of[14];
    cz_example e = {0}, by_index[14];
    OK(s.count(s.self, &n, epoch));
    for (uint64_t i = 0; i < n; i++) {
      OK(s.get(s.self, &e, epoch, i));
      by_index[e.inputs.data[0]] = e;
      e = (cz_example){0};
    }
    for (uint64_t i = 0; i < n; i++)
      for (size_t k = 0; k < by_index[i].targets.len; k++) {
        piece_of[at] = (int32_t)i;
        row[at++] = by_index[i].targets.data[k];
      }
    assert_int_equal(at, 14);
    int64_t group = 0, documents = 0, tokens = 0, piece = 0;
    for (int i = 0;
         i < 14;) { /* whole documents follow one another; every 4 tokens of a group a new piece */
      int d = 0;
      while (begin[d] != row[i]) assert_in_range(++d, 0, 3);
      for (int k = begin[d]; k < end[d]; k++, i++, tokens++) {
        if (tokens == 4) tokens = 0, piece++;
        assert_int_equal(row[i], k);
        assert_int_equal(piece_of[i], piece);
      }
      if (++documents == 2) documents = 0, group++, tokens = 0, piece++;
    }
    assert_int_equal(piece, n);
    for (uint64_t i = 0; i < n; i++) free_example(&by_index[i]);
  }
  cz_source_destroy(&s);
  FAILS(
      cz_source_pieces(&s, r, &(cz_cut){.piece_tokens = 0, .chunk_tokens = 1}, keep_piece, NULL, 0),
      CZ_EINVAL, "pieces of 0 tokens");
  cz_reader_close(&r);
}

static void test_pairs(void **state) {
  cz_pairs p = {0};
  cz_source s;
  FAILS(cz_source_pairs(&s, &p, 1, test_seed()), CZ_EINVAL, "0 pairs");
  for (int32_t i = 0; i < 50; i++)
    OK(cz_pairs_add(&p, (int32_t[]){i, i}, i % 3, (int32_t[]){100 + i}, 1));
  OK(cz_source_pairs(&s, &p, 7, test_seed()));
  int32_t order[2][50];
  for (uint32_t epoch = 0; epoch < 2; epoch++) {
    bool seen[50] = {0};
    for (uint64_t i = 0; i < 50; i++) {
      cz_example e = {0};
      OK(s.get(s.self, &e, epoch, i));
      int32_t pair = order[epoch][i] = e.targets.data[0] - 100;
      assert_false(seen[pair]);
      seen[pair] = true;
      assert_int_equal(e.targets.len, 2);
      assert_int_equal(e.inputs.len, pair % 3 + 1);
      assert_int_equal(e.inputs.data[e.inputs.len - 1], 7);
      assert_int_equal(e.targets.data[1], 7);
      assert_int_equal(e.text, pair % 3 + 1); /* without the two EOS */
      if (pair % 3) assert_int_equal(e.inputs.data[0], pair);
      free_example(&e);
    }
  }
  assert_memory_not_equal(order[0], order[1], sizeof order[0]);
  cz_source_destroy(&s);
  cz_pairs_free(&p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_pieces), cmocka_unit_test(test_paired), cmocka_unit_test(test_chunks),
      cmocka_unit_test(test_groups_by_hand), cmocka_unit_test(test_pairs)};
  return cmocka_run_group_tests_name("sources", tests, make_folder, drop_folder) +
         run_mixture_tests();
}
