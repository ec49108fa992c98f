#include "few_shot/scorer.h"
#include "few_shot/runs.h"
#include "training/feed.h"

#include <math.h>
#include <stdlib.h>

struct cz_scorer {
  cz_net *net;
  cz_scorer_options options;
  double *room;  /* [rows of a run, C] */
  float *scores; /* [n, C] of the texts under way */
};

static cz_net_options net_options(const cz_scorer_options *o) {
  /* an input has a token at least, so there are no more texts than tokens in a run */
  const int64_t rows = o->batch_tokens;
  return (cz_net_options){.capacity_segments = rows,
                          .capacity_encoder = 1,
                          .capacity_decoder = o->batch_tokens,
                          .dropout = 0,
                          .n_heads = 1,
                          .heads = {{.kind = o->head,
                                     .capacity_rows = rows,
                                     .no_loss = true,
                                     .classes = o->classes,
                                     .words = o->words,
                                     .together = o->texts,
                                     .choice = o->choice}}};
}

/** Builds a net that scores with MODEL, which is borrowed and may change its weights. The caller
 * destroys the scorer. */
cz_status cz_scorer_create(cz_scorer **s, cz_model *model, const cz_scorer_options *options) {
  const cz_net_options o = net_options(options);
  cz_status st;
  CZ_TRY(cz_alloc(s, 1, sizeof **s));
  (*s)->options = *options;
  CZ_GO(
      st,
      cz_alloc(&(*s)->room, (size_t)(options->batch_tokens * options->classes), sizeof *(*s)->room),
      fail);
  CZ_GO(st, cz_net_create(&(*s)->net, model, &o), fail);
  return CZ_OK;
fail:
  cz_scorer_destroy(s);
  return st;
}

/** Scores the label words WORDS [C, W] from now on. */
cz_status cz_scorer_words(cz_scorer *s, const int32_t *words) {
  return cz_net_set_words(s->net, 0, words);
}

/* Scores of the shard's records, each to its number's row. */
static cz_status score_shard(void *self, const cz_shard *shard) {
  cz_scorer *s = self;
  const cz_graph_run_options run = {0};
  const int64_t C = s->options.classes, texts = s->options.texts ? s->options.texts : 1,
                records = shard->segments / texts;
  cz_net_head_feed head;
  cz_feed feed;
  CZ_CHECK(shard->n_class_rows == shard->segments); /* one row a text */
  cz_feed_heads(&feed, &head, &s->net->options, shard, 1, 1);
  CZ_TRY(cz_net_feed(s->net, &feed));
  CZ_TRY(cz_graph_forward(s->net->graph, &run));
  CZ_TRY(cz_graph_read(s->net->graph, s->room, s->net->heads[0].scores, records * C));
  for (int64_t b = 0; b < records; b++)
    for (int64_t c = 0; c < C; c++) {
      const int64_t number = shard->numbers[b * texts];
      const double x = s->room[b * C + c];
      if (!isfinite(x))
        return CZ_FAIL(CZ_ENUMERIC, "the score of text %lld for class %lld is %g, not finite",
                       (long long)number, (long long)c, x);
      s->scores[number * C + c] = (float)x;
    }
  return CZ_OK;
}

/** SCORES [n, C]: those of SET's texts, in its order. Inputs are computed longest first, as many as
 * fit into a run. CZ_ENUMERIC for a score that is not finite, CZ_EINTERRUPT after a signal. */
cz_status cz_scorer_run(cz_scorer *s, float *scores, const cz_prepared *set) {
  const cz_runs runs = {.what = "scoring",
                        .tokens = s->options.batch_tokens,
                        .longest = s->options.max_length,
                        .texts = s->options.texts,
                        .self = s,
                        .run = score_shard};
  s->scores = scores;
  return set->count ? cz_runs_over(&runs, set) : CZ_OK;
}

/** The net that scores. Borrowed. */
const cz_net *cz_scorer_net(const cz_scorer *s) { return s->net; }

/** Frees the scorer, not the model; clears the pointer, accepts null. */
void cz_scorer_destroy(cz_scorer **s) {
  if (!*s) return;
  cz_net_destroy(&(*s)->net);
  free((*s)->room);
  free(*s);
  *s = NULL;
}
