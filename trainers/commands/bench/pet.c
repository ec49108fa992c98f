#include "commands/bench/pet.h"
#include "device/random.h"

#include <stdlib.h>

/* MAX_LENGTH and SCORE_TOKENS as examples.max_length and classify.score_tokens have them. */
enum { MAX_LENGTH = 256, SCORE_TOKENS = 4096, FIRST_ID = 3 };

/* Tokens of a batch's texts, 865 in all: evenly spread from 20 to 88. */
static const int64_t lengths[CZ_BENCH_PET_TEXTS] = {20, 25, 29, 34, 38, 43, 47, 52,
                                                    56, 61, 65, 70, 74, 79, 84, 88};

static int32_t random_id(cz_stream *s, int64_t vocabulary) {
  return FIRST_ID + (int32_t)cz_stream_below(s, (uint64_t)vocabulary - FIRST_ID);
}

/* Appends a text of N random tokens. One place of it, the mask's, is the row that label words are
 * read at. */
static cz_status add_text(cz_prepared *out, cz_example *e, int64_t n, int64_t vocabulary,
                          cz_stream *s) {
  cz_example_clear(e);
  for (int64_t i = 0; i < n; i++) {
    CZ_TRY(cz_ids_add(&e->inputs, random_id(s, vocabulary)));
    CZ_TRY(cz_ids_add(&e->types, 0));
  }
  CZ_TRY(cz_ids_add(&e->rows, (int32_t)cz_stream_below(s, (uint64_t)n)));
  e->text = n;
  e->klass = (int32_t)cz_stream_below(s, CZ_BENCH_PET_CLASSES);
  return cz_prepared_add(out, e);
}

/* N texts of the batch's lengths in turn, and a word for each label. */
static cz_status make_texts(cz_bench_pet *p, int64_t n, const cz_model *model) {
  const int64_t V = model->config.vocab_size;
  cz_example e = {0};
  cz_status st = CZ_OK;
  cz_stream s;
  cz_stream_init(&s, 1, "bench.pet", 0, 0);
  for (int c = 0; c < CZ_BENCH_PET_CLASSES; c++) p->words[c] = random_id(&s, V);
  for (int64_t i = 0; i < n && st == CZ_OK; i++) {
    const int64_t length = lengths[i % CZ_BENCH_PET_TEXTS];
    st = add_text(&p->texts, &e, length, V, &s);
    p->tokens += length;
  }
  cz_example_free(&e);
  return st;
}

static cz_member_shape shape_of(const cz_bench_pet *p) {
  return (cz_member_shape){.temperature = 1,
                           .classes = CZ_BENCH_PET_CLASSES,
                           .width = 1,
                           .max_length = MAX_LENGTH,
                           .score_tokens = SCORE_TOKENS,
                           .words = p->words};
}

/** The known model NAME, which must be one that fills masks: CZ_EUSAGE for another. */
cz_status cz_bench_pet_config(cz_model_config *c, const char *name) {
  CZ_TRY(cz_model_config_named(c, name));
  if (c->heads & CZ_HEAD_BIT(CZ_HEAD_MASKED_LM)) return CZ_OK;
  return CZ_FAIL(CZ_EUSAGE,
                 "--task pet: %s has no masked-LM head, which label words are scored by; "
                 "roberta-base and bert-base have one (`cloze list models`)",
                 name);
}

/** Builds a member's training NET on MODEL, in PRECISION, which it computes in already, and points
 * FEED at a batch of 16 texts, 865 tokens. The caller destroys the net before it closes P. */
cz_status cz_bench_pet_train(cz_bench_pet *p, cz_net **net, cz_feed *feed, cz_model *model,
                             cz_precision precision, bool recompute) {
  const cz_prepared_use use = {.order = CZ_ORDER_DRAWN, .seed = 1, .together = CZ_BENCH_PET_TEXTS};
  cz_loop_job job = {.what = "bench",
                     .model = model,
                     .batch = {.examples = CZ_BENCH_PET_TEXTS, .shards = 1, .window = 1},
                     .train = {.steps = 1, .precision = (int)precision, .recompute = recompute},
                     .dropout_mask = CZ_DROPOUT_TOKEN,
                     .seed = 1};
  const cz_member_shape shape = shape_of(p);
  const cz_batch *batch;
  cz_member_shape_job(&job, &shape);
  const cz_batch_plan plan = cz_loop_plan(&job);
  CZ_TRY(make_texts(p, CZ_BENCH_PET_TEXTS, model));
  CZ_TRY(cz_loop_net(net, &job, true));
  CZ_TRY(cz_source_prepared(&p->source, &p->texts, &use));
  CZ_TRY(cz_batches_open(&p->batches, &p->source, &plan, NULL));
  CZ_TRY(cz_batches_next(p->batches, &batch));
  cz_loop_feed(feed, p->heads, &job, *net, batch, 0);
  return CZ_OK;
}

/** Builds the net by which members score on MODEL, and 512 texts to score. */
cz_status cz_bench_pet_open_scorer(cz_bench_pet *p, cz_model *model) {
  const cz_member_shape shape = shape_of(p);
  CZ_TRY(make_texts(p, CZ_BENCH_PET_SCORED, model));
  CZ_TRY(cz_alloc(&p->scores, (size_t)(CZ_BENCH_PET_SCORED * CZ_BENCH_PET_CLASSES),
                  sizeof *p->scores));
  CZ_TRY(cz_member_shape_scorer(&p->scorer, model, &shape));
  return cz_scorer_words(p->scorer, p->words);
}

/** Scores the 512 texts. */
cz_status cz_bench_pet_score(cz_bench_pet *p) {
  return cz_scorer_run(p->scorer, p->scores, &p->texts);
}

/** Frees what P holds; accepts a zero-initialised one. */
void cz_bench_pet_close(cz_bench_pet *p) {
  cz_scorer_destroy(&p->scorer);
  cz_batches_close(&p->batches);
  cz_source_destroy(&p->source);
  cz_prepared_free(&p->texts);
  free(p->scores);
}
