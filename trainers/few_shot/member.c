#include "few_shot/member.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/log.h"
#include "checkpoint/checkpoint.h"
#include "ensemble/calibrate.h"
#include "few_shot/calibrated_start.h"
#include "few_shot/candidates.h"
#include "few_shot/generated.h"
#include "few_shot/held_out_texts.h"
#include "few_shot/published.h"
#include "few_shot/shape.h"
#include "nn/hf.h"
#include "objectives/vocabulary.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cz_members {
  cz_members_options o;
  cz_model *model;
  cz_hf_weights *pretrained; /* its folder's, mapped */
  cz_scorer *scorer;   /* of the patterns with one mask, and of plain texts; null: there are none */
  cz_answers *answers; /* of those with several, or with answers of the records */
  cz_generator *generator; /* of those whose target is generated, which are all */
  cz_completions
      *completions; /* of all patterns, of a causal LM, which has no other of the three */
  cz_preparer preparer;
  cz_vocabulary vocabulary;
  int64_t width;               /* W of the net: the most words that a label has under any pattern
                                  with one mask; 0: there is none */
  int32_t *words;              /* [C, W] of the member under way */
  cz_held_out_texts *held_out; /* null: the model has no masked-LM head, or none is asked for */
  double scored;               /* tokens of all texts that were scored */
};

/* The prompt of PATTERN; the plain text for -1. */
static const cz_prompt *prompt_of(const cz_members *m, int32_t pattern) {
  const cz_prompts *p = m->o.examples->prompts;
  return pattern < 0 ? &p->plains[0] : &p->items[pattern];
}

/* Labels are words of one token, not answers of several or of each record's own. */
static bool has_label_words(const cz_prompt *prompt) {
  return prompt->pattern->masks == 1 && !prompt->choices;
}

/* Whether label words stand in the place of masks. */
static bool by_masks(const cz_members *m) { return !m->o.classifier && !m->o.causal; }

/* The words of PATTERN's labels in the net's width, where they are of one token. */
static void widen_words(cz_members *m, const cz_prompt *prompt) {
  if (!has_label_words(prompt)) return;
  for (int64_t c = 0; c < m->o.examples->classes; c++)
    for (int64_t w = 0; w < m->width; w++)
      m->words[c * m->width + w] =
          w < (int64_t)prompt->n_words ? prompt->words[c * (int64_t)prompt->n_words + w] : -1;
}

static cz_status find_width(cz_members *m) {
  const cz_prompts *p = m->o.examples->prompts;
  m->width = m->o.classifier;
  for (size_t i = 0; i < p->file->n_patterns && by_masks(m); i++)
    if (has_label_words(&p->items[i]) && (int64_t)p->items[i].n_words > m->width)
      m->width = (int64_t)p->items[i].n_words;
  return cz_alloc(&m->words, (size_t)(m->o.examples->classes * m->width), sizeof *m->words);
}

/* The model with the head that the members want, in the precision of their training. */
static cz_status open_model(cz_members *m) {
  const cz_head head = m->o.classifier ? CZ_HEAD_CLASSIFICATION
                       : m->o.causal   ? CZ_HEAD_CAUSAL_LM
                                       : CZ_HEAD_MASKED_LM;
  const cz_hf_options hf = {.heads = CZ_HEAD_BIT(head),
                            .fresh = CZ_HEAD_BIT(CZ_HEAD_CLASSIFICATION), /* is trained */
                            .n_labels =
                                m->o.classifier ? cz_member_shape_numbers(m->o.examples->file) : 0,
                            .seed = m->o.job.seed};
  if (by_masks(m)) CZ_TRY(cz_masked_lm_check(m->o.init, m->o.tokenizer));
  CZ_TRY(cz_hf_open_with(&m->model, m->o.init, m->o.device, &hf));
  return cz_loop_take_model(m->model, &m->o.job.train);
}

static cz_member_shape shape_of(const cz_members *m) {
  cz_member_shape s = {.classifier = m->o.classifier,
                       .soft = m->o.soft,
                       .temperature = m->o.temperature,
                       .lm = m->o.lm,
                       .classes = m->o.examples->classes,
                       .width = m->width,
                       .max_length = (int64_t)m->o.examples->prompts->max_length,
                       .score_tokens = m->o.score_tokens,
                       .words = m->words};
  if (m->o.classifier) cz_member_shape_plain(&s, m->o.examples->file);
  return s;
}

static cz_status open_scorer(cz_members *m) {
  if (!m->width) return CZ_OK;
  const cz_member_shape shape = shape_of(m);
  return cz_member_shape_scorer(&m->scorer, m->model, &shape);
}

static cz_status open_answers(cz_members *m) {
  const cz_prompts *p = m->o.examples->prompts;
  const cz_member_shape shape = shape_of(m);
  cz_answers_options o = {.classes = m->o.examples->classes,
                          .max_tokens = m->o.examples->answer_tokens,
                          .batch_tokens = cz_member_shape_run(&shape),
                          .order = m->o.decoding};
  if (m->o.causal)
    return cz_completions_create(&m->completions, m->model, m->o.tokenizer, o.classes,
                                 o.batch_tokens);
  if (p->file->generates) return cz_generator_create(&m->generator, m->model, p, o.batch_tokens);
  for (size_t i = 0; i < p->file->n_patterns && by_masks(m) && !p->file->candidates; i++) {
    const cz_prompt *x = &p->items[i];
    const int64_t n = o.classes * (int64_t)x->n_words * x->pattern->masks;
    if (!has_label_words(x) && n > o.max_tokens) o.max_tokens = n;
  }
  return o.max_tokens ? cz_answers_create(&m->answers, m->model, &o) : CZ_OK;
}

/** Opens the model that OPTIONS name, which have what must outlive the members. CZ_EUSAGE for a
 * model without the head that is wanted. The caller closes them. */
cz_status cz_members_open(cz_members **m, const cz_members_options *options) {
  cz_status st;
  CZ_TRY(cz_alloc(m, 1, sizeof **m));
  (*m)->o = *options;
  cz_vocabulary_of(&(*m)->vocabulary, options->tokenizer);
  CZ_GO(st, find_width(*m), fail);
  CZ_GO(st, open_model(*m), fail);
  CZ_GO(st, cz_hf_weights_open(&(*m)->pretrained, (*m)->model, options->init), fail);
  CZ_GO(st, open_scorer(*m), fail);
  CZ_GO(st, open_answers(*m), fail);
  if (options->held_out > 0 && by_masks(*m))
    CZ_GO(st,
          cz_held_out_texts_open(&(*m)->held_out, (*m)->model, options->examples, &(*m)->vocabulary,
                                 options->held_out, options->score_tokens),
          fail);
  return CZ_OK;
fail:
  cz_members_close(m);
  return st;
}

/** Closes the members and frees their model; clears the pointer, accepts null. */
void cz_members_close(cz_members **m) {
  cz_members *x = *m;
  if (!x) return;
  cz_held_out_texts_close(&x->held_out);
  cz_scorer_destroy(&x->scorer);
  cz_answers_destroy(&x->answers);
  cz_generator_destroy(&x->generator);
  cz_completions_destroy(&x->completions);
  cz_hf_weights_close(&x->pretrained);
  cz_model_destroy(&x->model);
  cz_preparer_free(&x->preparer);
  free(x->words);
  free(x);
  *m = NULL;
}

/** The model as the member that was computed last has left it. Borrowed. */
const cz_model *cz_members_model(const cz_members *m) { return m->model; }

/** Tokens of all texts that were scored since the members were opened. */
double cz_members_scored(const cz_members *m) { return m->scored; }

/** The texts that they score. Borrowed. */
const cz_examples *cz_members_examples(const cz_members *m) { return m->o.examples; }

/* PATTERN of texts to score, or to TRAIN on. */
static void use_pattern(cz_members *m, int32_t pattern, bool train) {
  const cz_examples *e = m->o.examples;
  m->preparer.config = &m->model->config;
  m->preparer.classes = e->file->candidates ? (size_t)(train ? e->most_in_t : e->classes) : 0;
  cz_preparer_plain(&m->preparer, e->prompts);
  m->preparer.trim = train;
  m->preparer.seed = m->o.job.seed;
  m->preparer.demonstrations = NULL;
  if (pattern < 0) return;
  m->preparer.prompt = prompt_of(m, pattern);
  m->preparer.several = 1;
  m->preparer.demonstrations = m->o.demonstrations ? &m->o.demonstrations[pattern] : NULL;
}

/** Appends text I of SET under PATTERN to OUT, a list to train a member on. */
cz_status cz_members_prepare(cz_members *m, cz_prepared *out, int32_t pattern,
                             const cz_text_set *set, size_t i, const cz_wanted *wanted) {
  use_pattern(m, pattern, true);
  return cz_prepare_text(&m->preparer, out, set, i, wanted);
}

/** The same of all of T, with their labels. */
cz_status cz_members_prepare_t(cz_members *m, cz_prepared *out, int32_t pattern) {
  const cz_text_set *t = &m->o.examples->t;
  for (size_t i = 0; i < t->n; i++)
    CZ_TRY(cz_members_prepare(m, out, pattern, t, i, &(cz_wanted){.label = t->labels[i]}));
  return CZ_OK;
}

/* By the net that PROMPT wants, of SET, which are INPUTS; adds what it reads. */
static cz_status score_inputs(cz_members *m, float *scores, const cz_prompt *prompt,
                              const cz_text_set *set, const cz_prepared *inputs) {
  if (m->generator) {
    m->scored -= cz_generator_read(m->generator);
    CZ_TRY(cz_generator_run(m->generator, scores, set, inputs));
    m->scored += cz_generator_read(m->generator);
    return CZ_OK;
  }
  if (m->completions) {
    m->scored -= cz_completions_read(m->completions);
    CZ_TRY(cz_completions_run(m->completions, scores, prompt, inputs));
    m->scored += cz_completions_read(m->completions);
    return CZ_OK;
  }
  if (by_masks(m) && !has_label_words(prompt)) {
    m->scored -= cz_answers_read(m->answers);
    CZ_TRY(cz_answers_run(m->answers, scores, prompt, inputs));
    m->scored += cz_answers_read(m->answers);
    return CZ_OK;
  }
  if (by_masks(m)) {
    widen_words(m, prompt);
    CZ_TRY(cz_scorer_words(m->scorer, m->words));
  }
  m->scored += (double)inputs->inputs.all.len;
  return cz_scorer_run(m->scorer, scores, inputs);
}

/** SCORES [n, C] of SET's texts under PATTERN by the model as it stands. */
cz_status cz_members_score(cz_members *m, float *scores, int32_t pattern, const cz_text_set *set) {
  cz_prepared inputs = {0};
  use_pattern(m, pattern, false);
  cz_status st = cz_prepare_set(&m->preparer, &inputs, set);
  if (st == CZ_OK) st = score_inputs(m, scores, prompt_of(m, pattern), set, &inputs);
  cz_prepared_free(&inputs);
  return st;
}

/* What a member's draws are keyed by: its place among all, and the run's seed. */
static uint64_t seed_of(const cz_members *m, const cz_member_plan *p) {
  const int32_t place[3] = {p->generation, p->pattern, p->repetition};
  return cz_hash64(place, sizeof place, m->o.job.seed);
}

/* The model as it was opened, but for what the folder lacks, which each member draws for itself. */
static cz_status reset(cz_members *m, const cz_member_plan *plan) {
  CZ_TRY(cz_hf_weights_load(m->pretrained, m->model, seed_of(m, plan)));
  if (by_masks(m)) widen_words(m, prompt_of(m, plan->pattern));
  if (plan->calibrated_start)
    CZ_TRY(cz_calibrated_start(m->model, plan->offsets, m->words, m->o.examples->classes,
                               (int32_t)m->width));
  cz_params_values_written(m->model->params);
  return CZ_OK;
}

/* Where the training texts of a member come from. */
typedef struct member_source {
  cz_prepared unlabelled;
  cz_masking masking;
  cz_source parts[2], all;
} member_source;

/* Labelled texts of a batch. */
static int64_t labelled_of(const cz_members *m) {
  return m->o.job.batch.examples - (m->o.lm > 0 ? m->o.lm_examples : 0);
}

static cz_published_epoch epoch_of(const cz_members *m, const cz_member_plan *plan) {
  return cz_published_epoch_of(&m->o.job.batch, labelled_of(m), (int64_t)plan->train->count);
}

static cz_status open_source(member_source *s, cz_members *m, const cz_member_plan *plan,
                             const cz_loop_job *job) {
  const bool restarts = job->batch.ends == CZ_ENDS_RESTART;
  const cz_published_epoch epoch = epoch_of(m, plan);
  const cz_prepared_use of_labelled = {.order = CZ_ORDER_DRAWN,
                                       .seed = job->seed,
                                       .together = restarts ? 0 : labelled_of(m),
                                       .first = restarts ? epoch.texts : 0};
  if (m->o.lm <= 0) return cz_source_prepared(&s->all, plan->train, &of_labelled);
  s->masking = cz_masking_bert;
  s->masking.vocabulary = &m->vocabulary;
  s->masking.fidelity = m->o.fidelity;
  s->masking.length = job->padded ? job->batch.max_inputs : 0;
  s->masking.seed = job->seed;
  const cz_prepared_use of_unlabelled = {.order = CZ_ORDER_DRAWN,
                                         .seed = job->seed ^ cz_hash_text("unlabelled"),
                                         .together = m->o.lm_examples,
                                         .alter = cz_mask_example,
                                         .alter_self = &s->masking};
  /* of each shard as many as of the batch: a shard is the published code's micro-batch. What the
     counts come to is an epoch of the whole, which matters where they restart */
  const int64_t shards = m->o.job.batch.shards, times = restarts ? epoch.micro_batches : 1;
  const int64_t counts[2] = {times * labelled_of(m) / shards, times * m->o.lm_examples / shards};
  use_pattern(m, plan->pattern, true);
  CZ_TRY(cz_prepare_set(&m->preparer, &s->unlabelled, &m->o.examples->d));
  CZ_TRY(cz_source_prepared(&s->parts[0], plan->train, &of_labelled));
  CZ_TRY(cz_source_prepared(&s->parts[1], &s->unlabelled, &of_unlabelled));
  CZ_TRY(cz_source_interleave(&s->all, s->parts, counts, 2));
  memset(s->parts, 0, sizeof s->parts); /* the whole owns them now */
  return CZ_OK;
}

static void close_source(member_source *s) {
  cz_source_destroy(&s->all);
  cz_source_destroy(&s->parts[0]);
  cz_source_destroy(&s->parts[1]);
  cz_prepared_free(&s->unlabelled);
}

static cz_member_shape shape_to_train(const cz_members *m, const cz_member_plan *plan) {
  const cz_prompt *prompt = prompt_of(m, plan->pattern);
  cz_member_shape shape = shape_of(m);
  if (m->o.classifier || has_label_words(prompt)) return shape;
  shape.generates = m->generator != NULL;
  CZ_CHECK(prompt->n_words == 1);
  if (m->o.examples->file->candidates) shape.classes = m->o.examples->most_in_t;
  shape.masks = prompt->pattern->masks;
  shape.answers = prompt->choices ? plan->train->answers.all.data : prompt->words;
  shape.sets = prompt->choices ? (int64_t)plan->train->count : 1;
  return shape;
}

/* What makes JOB, of PLAN, the published loop. *NEVER: it takes no step on so few texts, and leaves
 * the model as it was (docs/pet.md 1.6). */
static void publish(cz_loop_job *job, bool *never, const cz_members *m,
                    const cz_member_plan *plan) {
  const cz_published_epoch epoch = epoch_of(m, plan);
  const int64_t shards = job->batch.shards;
  job->padded = m->o.lm > 0;
  job->excess = m->o.soft ? cz_published_excess : NULL;
  *never = job->batch.ends == CZ_ENDS_RESTART && !epoch.updates;
  if (*never)
    cz_warn("%s: no update is made, as in the published code: an epoch of %lld texts has fewer "
            "than %lld micro-batches of %lld",
            job->what, (long long)plan->train->count, (long long)shards,
            (long long)(labelled_of(m) / shards));
  if (job->batch.ends == CZ_ENDS_RESTART) cz_published_batches(&job->batch, &epoch);
}

static cz_status train(cz_members *m, cz_member_scores *r, const cz_member_plan *plan,
                       const char *folder) {
  const cz_member_shape shape = shape_to_train(m, plan);
  bool never = false;
  cz_loop_job job = m->o.job;
  cz_loop_result result = {0};
  member_source source = {0};
  char what[64];
  snprintf(what, sizeof what, "g%d p%d r%d", plan->generation, plan->pattern, plan->repetition);
  job.what = what;
  job.folder = folder;
  job.comm = m->o.comm;
  job.model = m->model;
  job.seed = seed_of(m, plan);
  job.examples = (int64_t)plan->train->count; /* what a batch is warned to repeat */
  if (m->o.lm > 0) job.examples += (int64_t)m->o.examples->d.n;
  job.transient = true;
  cz_member_shape_job(&job, &shape);
  if (m->o.fidelity == CZ_FIDELITY_CODE) publish(&job, &never, m, plan);
  if (never) return CZ_OK;
  cz_status st = open_source(&source, m, plan, &job);
  job.source = &source.all;
  if (st == CZ_OK) st = cz_loop_run(&result, &job);
  close_source(&source);
  CZ_TRY(st);
  r->steps = (double)result.steps;
  r->trained_tokens = (double)(result.input_tokens + result.target_tokens);
  return CZ_OK;
}

/* Demonstrations that there was no room for. */
static void warn_dropped(const cz_members *m, const cz_member_plan *plan) {
  const cz_examples *e = m->o.examples;
  if (m->preparer.dropped)
    cz_warn("pattern %d: %zu of %zu texts leave no room for all of their demonstrations, of which "
            "%zu are left out; examples.max_length is %zu tokens",
            (int)plan->pattern, m->preparer.short_texts, e->t.n + e->d.n + e->test.n,
            m->preparer.dropped, e->prompts->max_length);
}

static cz_status score_all(cz_members *m, cz_member_scores *r, const cz_member_plan *plan) {
  const cz_examples *e = m->o.examples;
  m->preparer.short_texts = m->preparer.dropped = 0;
  if (e->t.n) CZ_TRY(cz_members_score(m, r->t, plan->pattern, &e->t));
  if (e->d.n) CZ_TRY(cz_members_score(m, r->d, plan->pattern, &e->d));
  if (e->test.n) CZ_TRY(cz_members_score(m, r->test, plan->pattern, &e->test));
  warn_dropped(m, plan);
  return CZ_OK;
}

static cz_status held_out_loss(double *loss, cz_members *m) {
  if (!m->held_out) return CZ_OK;
  m->scored += cz_held_out_texts_tokens(m->held_out);
  return cz_held_out_texts_loss(loss, m->held_out);
}

/* From the pretrained weights to the scores of the member, in memory. */
static cz_status compute(cz_members *m, cz_member_scores *r, const cz_member_plan *plan,
                         const char *folder) {
  const cz_examples *e = m->o.examples;
  const double scored = m->scored;
  CZ_TRY(reset(m, plan));
  CZ_TRY(cz_member_scores_create(r, e));
  if (e->t.n && !m->o.classifier) {
    CZ_TRY(cz_members_score(m, r->t, plan->pattern, &e->t));
    if (plan->offsets && !plan->calibrated_start)
      cz_calibrate_scores(r->t, plan->offsets, e->t.n, e->classes);
    r->before_training = cz_text_set_accuracy(&e->t, r->t, e->classes);
  }
  CZ_TRY(held_out_loss(&r->held_out_before, m));
  if (plan->train) CZ_TRY(train(m, r, plan, folder));
  CZ_TRY(held_out_loss(&r->held_out_after, m));
  CZ_TRY(score_all(m, r, plan));
  r->scored_tokens = m->scored - scored;
  return CZ_OK;
}

/* The trained model, with the labels as the names of its classes. */
static cz_status save_model(cz_members *m, const char *folder) {
  const cz_examples *e = m->o.examples;
  if (m->o.classifier && e->file->input != CZ_INPUT_CHOICE) /* whose one number has no label */
    CZ_TRY(cz_model_set_labels(m->model, e->file->labels, (int64_t)e->file->n_labels));
  return cz_hf_save(m->model, folder);
}

/** Computes the member PLAN and leaves it in FOLDER, which is made; one that is killed goes on from
 * its last checkpoint. The model is then as the member left it. Collective over the options'
 * communicator, whose first rank writes. */
cz_status cz_members_run(cz_members *m, const cz_member_plan *plan, const char *folder) {
  cz_member_scores r = {0};
  cz_status st;
  CZ_GO(st, cz_fs_make_dirs(folder), done);
  CZ_GO(st, compute(m, &r, plan, folder), done);
  if (m->o.comm->rank != 0) goto done;
  if (plan->model) CZ_GO(st, save_model(m, plan->model), done);
  CZ_GO(st, cz_member_scores_write(&r, m->o.examples, folder), done);
  st = cz_checkpoint_remove(folder);
done:
  cz_member_scores_free(&r);
  return st;
}
