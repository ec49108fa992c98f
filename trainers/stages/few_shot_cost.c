#include "stages/few_shot_cost.h"
#include "base/fs.h"
#include "few_shot/candidates.h"
#include "few_shot/chosen.h"
#include "few_shot/published.h"
#include "nn/hf.h"
#include "objectives/masking.h"
#include "training/flops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The model whose name begins that of FOLDER, roberta-base of path/roberta-base-v2; the longest. */
static const char *name_of(const char *folder) {
  const char *names[256], *slash = folder ? strrchr(folder, '/') : NULL, *best = NULL,
                          *last = slash ? slash + 1 : folder;
  size_t n = cz_model_names(names, sizeof names / sizeof *names);
  for (size_t i = 0; last && i < n; i++)
    if (!strncmp(last, names[i], strlen(names[i])) && (!best || strlen(names[i]) > strlen(best)))
      best = names[i];
  return best;
}

/* The shape of the model that members start from: another stage's, the folder's, or the one that
 * the folder's name says. */
static cz_status find_model(cz_few_shot_cost *x) {
  const char *folder = x->f->init, *name = name_of(folder);
  bool found = false;
  if (x->cost->model) return x->config = *x->cost->model, CZ_OK;
  if (folder) CZ_TRY(cz_hf_config_find(&found, &x->config, folder));
  if (found) return CZ_OK;
  x->cost->unknown_model = !name;
  x->cost->assumed_model = name != NULL;
  return name ? cz_model_config_named(&x->config, name) : CZ_OK;
}

/* Whether all is there that the texts are read from and tokenised with. */
static bool is_there(const cz_few_shot *f) {
  const char *const paths[] = {f->keys.pattern, f->keys.train, f->keys.unlabelled_file};
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
    if (*paths[i] && !cz_fs_exists(paths[i])) return false;
  for (size_t k = 0; k < cz_examples_test_count(&f->keys); k++)
    if (!cz_fs_exists(cz_examples_test_path(&f->keys, k))) return false;
  return f->init && cz_fs_is_dir(f->init);
}

/* Texts that a stage of the plan will choose: nobody knows which. */
static void count_chosen(cz_few_shot_cost *x) {
  x->chosen = fmin((double)x->f->keys.chosen, x->texts[CZ_COUNT_D]);
  x->texts[CZ_COUNT_T] += x->chosen;
  if (!cz_examples_t_in_d(&x->f->keys)) x->texts[CZ_COUNT_D] -= x->chosen;
}

static cz_status open_examples(cz_few_shot_cost *x, const cz_recipe *recipe) {
  cz_few_shot *f = x->f;
  const bool chosen = f->keys.chosen && cz_fs_is_dir(f->keys.chosen_by);
  CZ_TRY(cz_tokenizer_open(&f->tokenizer, f->init));
  f->reader = cz_few_shot_reader(f, &x->config);
  CZ_TRY(cz_examples_open_for(&f->examples, &f->keys, f->tokenizer, recipe->seed, f->reader));
  if (chosen) CZ_TRY(cz_examples_choose(f->examples, &f->keys));
  x->file = f->examples->file;
  x->texts[CZ_COUNT_T] = (double)f->examples->t.n;
  x->texts[CZ_COUNT_D] = (double)f->examples->d.n;
  x->texts[CZ_COUNT_TEST] = (double)f->examples->test.n;
  x->first_test = (double)cz_examples_part(f->examples, 0).n;
  if (!chosen) count_chosen(x);
  return CZ_OK;
}

/* Records of a file, or NaN where it or the pattern file that names its columns is not there. */
static cz_status count_records(double *n, const cz_few_shot_cost *x, const char *path) {
  size_t count;
  *n = *path ? NAN : 0;
  if (!*path || !x->own || !cz_fs_exists(path)) return CZ_OK;
  CZ_TRY(cz_examples_count(&count, &x->f->keys, x->own, path));
  *n = (double)count;
  return CZ_OK;
}

/* N texts of those that there are, all where N is negative; what nothing tells is none. */
static double at_most(cz_few_shot_cost *x, double n, double there) {
  if (n < 0) n = there;
  if (n > there) n = there; /* false where it is NaN */
  if (isnan(n)) x->cost->assumed_sizes = true;
  return isnan(n) ? 0 : n;
}

/* Sizes by the keys, no larger than the files that are there; repeated texts count. */
static cz_status assume_sizes(cz_few_shot_cost *x) {
  const cz_examples_keys *k = &x->f->keys;
  double pool, rest, tests, wanted = (double)k->unlabelled;
  const size_t files = cz_examples_test_count(k);
  x->cost->assumed_texts = true;
  if (cz_fs_exists(k->pattern))
    CZ_TRY(cz_patterns_open(&x->own, k->pattern, *k->labels ? k->labels : NULL));
  x->file = x->own;
  CZ_TRY(count_records(&pool, x, k->train));
  CZ_TRY(count_records(&rest, x, k->unlabelled_file));
  x->texts[CZ_COUNT_T] = at_most(x, (double)k->labelled, pool);
  for (size_t i = 0; i < files; i++) {
    CZ_TRY(count_records(&tests, x, cz_examples_test_path(k, i)));
    x->texts[CZ_COUNT_TEST] += at_most(x, (double)k->tested, tests);
    if (!i) x->first_test = x->texts[CZ_COUNT_TEST];
  }
  if (!*k->unlabelled_file) rest = k->draw == CZ_DRAW_PAPER ? pool : pool - x->texts[CZ_COUNT_T];
  if (wanted > 0 && k->unlabelled_draw == CZ_UNLABELLED_PER_LABEL)
    wanted = !x->file ? NAN : x->file->candidates ? wanted : wanted * (double)x->file->n_labels;
  x->texts[CZ_COUNT_D] = at_most(x, wanted, rest);
  count_chosen(x);
  return CZ_OK;
}

/** Finds out what the stage of F, which is bound, will read, and with which model. What is assumed
 * is noted in COST. Close with cz_few_shot_cost_close, also after a failure. */
cz_status cz_few_shot_cost_open(cz_few_shot_cost *x, cz_cost *cost, cz_few_shot *f,
                                const cz_recipe *recipe) {
  *x = (cz_few_shot_cost){.cost = cost, .f = f};
  CZ_TRY(find_model(x));
  f->causal = x->config.family && cz_few_shot_asks_causal(f, x->config.family);
  return is_there(f) ? open_examples(x, recipe) : assume_sizes(x);
}

/** Frees what X holds, the examples of its stage with it. */
void cz_few_shot_cost_close(cz_few_shot_cost *x) {
  if (x->f) cz_few_shot_close(x->f);
  cz_patterns_close(&x->own);
}

/* TEXTS texts of N tokens, and for each so many PREDICTED, which the head of the vocabulary reads;
 * heads READ so many rows of each, 0: all. */
static void add_texts(cz_reading *r, const cz_few_shot_cost *x, double texts, double n,
                      double predicted, double read) {
  const cz_step_shape shape = {
      .segments = texts, .inputs = n - predicted, .targets = predicted, .read = read};
  r->texts += texts;
  r->tokens += texts * n;
  r->flop += x->cost->unknown_model ? 0 : cz_flops_forward(&x->config, &shape);
}

/* How many answers of each number of tokens a text has under a pattern with several masks. */
typedef struct answer_counts {
  double of[CZ_PATTERN_MASKS + 1];
  double causal; /* words that a causal LM is asked for instead, of unknown numbers of tokens */
  int32_t masks;
} answer_counts;

static cz_status count_answers(answer_counts *out, const cz_prompts *p, const cz_prompt *prompt,
                               const cz_prompt_texts *texts, size_t i) {
  const size_t masks = (size_t)out->masks,
               words = cz_prompt_answer_count(texts, i) * prompt->n_words;
  int32_t *ids;
  CZ_TRY(cz_alloc(&ids, words * masks, sizeof *ids));
  cz_status st = cz_prompt_answers(ids, p, prompt, texts, i);
  for (size_t w = 0; w < words && st == CZ_OK; w++)
    out->of[cz_prompt_answer_length(ids + w * masks, masks) + p->file->generates]++;
  free(ids);
  out->of[0] = 0; /* behind a label's last word; a target has a surplus mask */
  return st;
}

/* The answers of text I of SET under PATTERN; without their tokenizer, SET being null, each has a
 * token for every mask, and there are as many candidates as T's texts have. */
static cz_status answers_of(answer_counts *out, const cz_few_shot_cost *x, int32_t pattern,
                            const cz_text_set *set, size_t i) {
  *out = (answer_counts){.masks = pattern < 0 || !x->file ? 0 : x->file->patterns[pattern].masks};
  const bool words = out->masks == 1 && !x->file->choices && !x->file->candidates;
  const cz_pattern *p = out->masks ? &x->file->patterns[pattern] : NULL;
  if (!p || (words && !x->f->causal)) return out->masks = 0, CZ_OK;
  if (set) {
    const cz_prompts *prompts = x->f->examples->prompts;
    return count_answers(out, prompts, &prompts->items[pattern], set->texts, i);
  }
  if (x->file->candidates) out->of[out->masks] = CZ_TRAINED_CANDIDATES;
  for (size_t c = 0; c < x->file->n_labels; c++)
    *(x->f->causal ? &out->causal : &out->of[out->masks]) += (double)p->words[c].n;
  return CZ_OK;
}

/* Tokens that masked LM asks for of a text of N, at most, as some are exempt. */
static double most_masked(double n) { return cz_masking_bert.density * n; }

/* TEXTS texts of N tokens that are scored for ANSWERS: each is read with as many masks as an answer
 * has tokens, once for all answers, and again for each answer and token behind the first
 * (few_shot/answers.h). */
static void add_scored(cz_reading *r, const cz_few_shot_cost *x, double texts, double n,
                       const answer_counts *answers) {
  const double before = r->texts;
  for (int32_t k = 1; k <= answers->masks; k++) {
    const double words = answers->of[k], again = x->parallel ? 0 : (k - 1) * words;
    if (words > 0) add_texts(r, x, texts * (1 + again), n - (answers->masks - k), 0, k);
  }
  r->texts = before + texts;
}

/* The same to train on: each is read once, with the masks of the longest answer, and the head reads
 * a row for each token of all answers. Answers that are chosen among repeat rows, so that the last
 * block makes all of them; a generated one's are read once (cz__net_heads_read_rows). */
static void add_trained(cz_reading *r, const cz_few_shot_cost *x, double texts, double n,
                        const answer_counts *answers, bool masked) {
  double tokens = 0;
  int32_t longest = 0;
  for (int32_t k = 1; k <= answers->masks; k++) {
    tokens += k * answers->of[k];
    if (answers->of[k] > 0) longest = k;
  }
  n -= answers->masks - longest;
  const double predicted = masked ? most_masked(n) : tokens;
  add_texts(r, x, texts, n, predicted, x->file && x->file->generates ? predicted : 0);
}

/* A text of N tokens under PATTERN, whose masks begin at PLACE, with each word in turn in their
 * place (few_shot/completions.h). */
static void add_completed(cz_reading *r, const cz_few_shot_cost *x, size_t n, int32_t pattern,
                          size_t place) {
  const double before = r->texts;
  double texts;
  const double tokens = cz_completions_predict(&texts, &x->f->examples->prompts->items[pattern],
                                               x->file->n_labels, n, place);
  add_texts(r, x, texts, tokens / texts, 0, 0);
  r->texts = before + 1;
}

/* TEXTS texts of N tokens, each with ANSWERS, or of a class by words of one token; of a causal LM,
 * whose words are not known in tokens, each word is a text by itself. */
static void add_prompts(cz_reading *r, const cz_few_shot_cost *x, double texts, double n,
                        const answer_counts *answers, cz_read_for purpose) {
  const bool masked = purpose == CZ_READ_MASKED;
  const double before = r->texts, one = x->encodes ? 0 : 1;
  if (answers->causal > 0) {
    add_texts(r, x, texts * answers->causal, n, 0, 0);
    r->texts = before + texts;
  } else if (!answers->masks)
    add_texts(r, x, texts, n, masked ? most_masked(n) : 0, masked ? most_masked(n) : one);
  else if (purpose == CZ_READ_TO_SCORE)
    add_scored(r, x, texts, n, answers);
  else
    add_trained(r, x, texts, n, answers, masked);
}

/* Texts of one record under PATTERN; a classifier, for -1, may read several, masked LM one. */
static size_t texts_of_record(const cz_few_shot_cost *x, int32_t pattern, cz_read_for purpose) {
  return pattern < 0 && purpose != CZ_READ_MASKED && x->file ? x->file->n_plains : 1;
}

/* N records of SET, spread over it, under PATTERN or, for -1, as they stand. SET null: nothing is
 * known of them but how many. */
static cz_status read_some(cz_reading *out, const cz_few_shot_cost *x, const cz_text_set *set,
                           double n, int32_t pattern, cz_read_for purpose) {
  cz_prompt_input input = {0};
  answer_counts answers;
  cz_status st = CZ_OK;
  const size_t each = texts_of_record(x, pattern, purpose), wanted = (size_t)n;
  *out = (cz_reading){0};
  if (!set) {
    CZ_TRY(answers_of(&answers, x, pattern, NULL, 0));
    for (size_t k = 0; k < each; k++)
      add_prompts(out, x, n, (double)x->f->keys.max_length, &answers, purpose);
  }
  const cz_prompts *p = set ? x->f->examples->prompts : NULL;
  const cz_demonstrations *shown =
      pattern >= 0 && x->demonstrations ? &x->demonstrations[pattern] : NULL;
  for (size_t i = 0; set && i < wanted * each; i++) {
    const size_t at = i / each * set->n / wanted;
    const cz_prompt *prompt = pattern < 0 ? &p->plains[i % each] : &p->items[pattern];
    const uint64_t *hash = set->hashes ? &set->hashes[at] : NULL;
    CZ_GO(st, cz_prompt_apply_behind(&input, p, prompt, set->texts, at, shown, hash), done);
    if (pattern >= 0 && x->f->causal) {
      add_completed(out, x, input.encoding.n, pattern, (size_t)input.rows[0]);
      continue;
    }
    CZ_GO(st, answers_of(&answers, x, pattern, set, at), done);
    add_prompts(out, x, 1, (double)input.encoding.n, &answers, purpose);
  }
done:
  out->texts /= (double)each; /* a record's count as one */
  cz_prompt_input_free(&input);
  return st;
}

/** Reads all texts of SET under PATTERN or, for -1, as they stand, for PURPOSE. Those that a stage
 * will choose for T are as long as texts spread over D. */
cz_status cz_few_shot_cost_read(cz_reading *out, const cz_few_shot_cost *x, cz_counted_set set,
                                int32_t pattern, cz_read_for purpose) {
  const cz_examples *e = x->f->examples;
  const cz_text_set *const sets[] = {e ? &e->t : NULL, e ? &e->d : NULL, e ? &e->test : NULL};
  const double chosen = set == CZ_COUNT_T ? x->chosen : 0;
  cz_reading more;
  CZ_TRY(read_some(out, x, sets[set], x->texts[set] - chosen, pattern, purpose));
  CZ_TRY(read_some(&more, x, sets[CZ_COUNT_D], chosen, pattern, purpose));
  out->texts += more.texts;
  out->tokens += more.tokens;
  out->flop += more.flop;
  return CZ_OK;
}

/** Reads all texts of SET under PATTERN for masked LM, padded to the length of the longest. */
cz_status cz_few_shot_cost_read_padded(cz_reading *out, const cz_few_shot_cost *x,
                                       cz_counted_set set, int32_t pattern) {
  return read_some(out, x, NULL, x->texts[set], pattern, CZ_READ_MASKED);
}

/** Adds that TEXTS are scored so many TIMES. */
void cz_few_shot_cost_score(const cz_few_shot_cost *x, const cz_reading *texts, double times) {
  x->cost->scored += times * texts->tokens;
  x->cost->scoring_flop += times * texts->flop;
}

/** Adds to LABELLED, a reading of T, what a member of iPET gets from D besides: as the stage FROM
 * says where it is a folder, else by the plan; D is the limit. */
cz_status cz_few_shot_cost_generation(cz_reading *labelled, const cz_few_shot_cost *x,
                                      const cz_reading *d, const char *from, const cz_ipet *ipet) {
  int32_t generation = x->cost->generation > 0 ? x->cost->generation : 1;
  if (cz_fs_is_dir(from)) {
    cz_member_plan *plans;
    size_t n;
    const cz_status st = cz_generation_noted(from, &generation, &plans, &n);
    free(plans);
    CZ_TRY(st);
    generation++;
  }
  const double t = labelled->texts, size = (double)cz_ipet_size(ipet, (int64_t)t, generation),
               added = fmin(size - t, d->texts), part = added / fmax(d->texts, 1);
  labelled->texts += added;
  labelled->tokens += part * d->tokens;
  labelled->flop += part * d->flop;
  return CZ_OK;
}

/** Adds what is scored to find the offsets of a pattern by KIND. */
cz_status cz_few_shot_cost_offsets(const cz_few_shot_cost *x, cz_calibrate kind, int32_t pattern) {
  const cz_examples *e = x->f->examples;
  cz_text_set set = {0};
  cz_reading texts = {0};
  cz_status st = CZ_OK;
  size_t n = 0;
  while (cz_content_free_texts[n]) n++;
  if (kind == CZ_CALIBRATE_UNLABELED_MEAN)
    st = cz_few_shot_cost_read(&texts, x, CZ_COUNT_D, pattern, CZ_READ_TO_SCORE);
  if (kind == CZ_CALIBRATE_CONTENT_FREE) {
    if (e) st = cz_examples_without_content(&set, e, cz_content_free_texts);
    if (st == CZ_OK)
      st = read_some(&texts, x, e ? &set : NULL, (double)n, pattern, CZ_READ_TO_SCORE);
  }
  if (st == CZ_OK) cz_few_shot_cost_score(x, &texts, 1);
  cz_prompt_texts_destroy(&set.texts);
  return st;
}

/** Adds the masked-LM loss of N texts of the first test file, before and after the training of
 * MODELS. */
cz_status cz_few_shot_cost_held_out(const cz_few_shot_cost *x, double n, double models) {
  const cz_examples *e = x->f->examples;
  const cz_text_set test = e ? cz_examples_part(e, 0) : (cz_text_set){0};
  cz_reading texts;
  CZ_TRY(read_some(&texts, x, e ? &test : NULL, fmin(n, x->first_test), -1, CZ_READ_MASKED));
  cz_few_shot_cost_score(x, &texts, 2 * models);
  return CZ_OK;
}

/* Labelled texts of a step, of LABELLED in an epoch: where epochs leave a shard short, as many as
 * the shards of an epoch have in the mean; of one that restarts its texts over its steps, NaN where
 * it has none. *SHARDS: the micro-batches of a step, in the mean. */
static double texts_of_step(double *shards, const cz_batch_plan *b, double labelled,
                            double unlabelled_a_step) {
  const double of_step = (double)b->examples - unlabelled_a_step,
               each = of_step / (double)b->shards;
  *shards = (double)b->shards;
  if (b->ends == CZ_ENDS_JOIN || labelled <= 0) return of_step;
  if (b->ends == CZ_ENDS_SHORT)
    return unlabelled_a_step > 0 ? of_step : *shards * labelled / ceil(labelled / each);
  const cz_published_epoch e = cz_published_epoch_of(b, (int64_t)of_step, (int64_t)labelled);
  if (!e.updates) return NAN;
  *shards = (double)e.micro_batches / (double)e.updates;
  return (double)e.texts / (double)e.updates;
}

/** Adds the training of so many MODELS, each on LABELLED and, with UNLABELLED_A_STEP above 0, so
 * many texts of UNLABELLED a step. Texts are drawn in whole epochs, so that a step has mean ones.
 */
void cz_few_shot_cost_train(const cz_few_shot_cost *x, double models, const cz_reading *labelled,
                            const cz_reading *unlabelled, double unlabelled_a_step) {
  const cz_loop_job *job = &x->f->job;
  double shards = 0;
  const double steps = models * (double)job->train.steps,
               a = texts_of_step(&shards, &job->batch, labelled->texts, unlabelled_a_step),
               b = unlabelled_a_step * shards / (double)job->batch.shards,
               of_a = fmax(labelled->texts, 1), of_b = fmax(unlabelled->texts, 1);
  if (isnan(a)) return;
  x->cost->steps += steps;
  x->cost->tokens += steps * a * labelled->tokens / of_a + steps * b * unlabelled->tokens / of_b;
  /* forward, and twice as much backward */
  x->cost->flop += 3 * steps * (a * labelled->flop / of_a + b * unlabelled->flop / of_b);
  x->cost->segments = a + b;
  x->cost->inputs = x->cost->tokens / x->cost->steps / (a + b);
}
