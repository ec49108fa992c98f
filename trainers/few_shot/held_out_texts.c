#include "few_shot/held_out_texts.h"
#include "training/nll.h"

#include <stdlib.h>

/* The same masks for every member, seed and run. */
enum { SEED = 0 };

struct cz_held_out_texts {
  cz_prepared texts;
  cz_masking masking;
  cz_batch_plan plan;
  cz_net *net;
};

/* N texts of the test set, spread over it, as they stand: without a pattern. */
static cz_status prepare(cz_held_out_texts *h, const cz_model *model, const cz_examples *e,
                         int64_t n) {
  cz_preparer p = {
      .prompts = e->prompts, .prompt = &e->prompts->plains[0], .config = &model->config};
  const size_t all = cz_examples_part(e, 0).n, wanted = (size_t)n < all ? (size_t)n : all;
  cz_status st = CZ_OK;
  for (size_t i = 0; i < wanted && st == CZ_OK; i++)
    st = cz_prepare_text(&p, &h->texts, &e->test, i * all / wanted, NULL);
  cz_preparer_free(&p);
  return st;
}

/** Takes at most N texts of E's test set, which no member is trained on, and builds a net that asks
 * MODEL, which is borrowed and has a masked-LM head, for what is masked in them. Without a test set
 * *H is null: nothing is held out. The caller closes it. */
cz_status cz_held_out_texts_open(cz_held_out_texts **h, cz_model *model, const cz_examples *e,
                                 const cz_vocabulary *vocabulary, int64_t n, int64_t batch_tokens) {
  const int64_t longest = (int64_t)e->prompts->max_length,
                tokens = batch_tokens > longest ? batch_tokens : longest;
  const cz_net_options o = {.capacity_segments = tokens,
                            .capacity_encoder = 1,
                            .capacity_decoder = tokens,
                            .loss_rows = true,
                            .dropout = 0};
  cz_status st;
  *h = NULL;
  if (!e->test.n) return CZ_OK;
  CZ_TRY(cz_alloc(h, 1, sizeof **h));
  (*h)->masking = cz_masking_bert;
  (*h)->masking.vocabulary = vocabulary;
  (*h)->masking.seed = SEED;
  (*h)->plan = (cz_batch_plan){.layout = CZ_LAYOUT_TOKENS,
                               .input_tokens = tokens,
                               .max_inputs = longest,
                               .shards = 1,
                               .window = 1,
                               .passes = 1};
  CZ_GO(st, prepare(*h, model, e, n), fail);
  CZ_GO(st, cz_net_create(&(*h)->net, model, &o), fail);
  return CZ_OK;
fail:
  cz_held_out_texts_close(h);
  return st;
}

/** The mean loss, in nats a masked token, of the model as it stands. */
cz_status cz_held_out_texts_loss(double *loss, const cz_held_out_texts *h) {
  const cz_prepared_use use = {
      .order = CZ_ORDER_LENGTH, .alter = cz_mask_example, .alter_self = &h->masking};
  cz_source source;
  int64_t tokens;
  double sum;
  CZ_TRY(cz_source_prepared(&source, &h->texts, &use));
  cz_status st = cz_nll_sum(&sum, &tokens, h->net, &source, &h->plan, INT64_MAX);
  cz_source_destroy(&source);
  *loss = sum / (double)tokens; /* NaN where no token was masked */
  return st;
}

/** Tokens of its texts. */
double cz_held_out_texts_tokens(const cz_held_out_texts *h) {
  return (double)h->texts.inputs.all.len;
}

/** Frees it; clears the pointer, accepts null. */
void cz_held_out_texts_close(cz_held_out_texts **h) {
  if (!*h) return;
  cz_net_destroy(&(*h)->net);
  cz_prepared_free(&(*h)->texts);
  free(*h);
  *h = NULL;
}
