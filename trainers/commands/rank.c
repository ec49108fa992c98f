/* `cloze rank`: what a masked LM knows without training, by the place of the right answer among all
 * words at the mask. */
#include "commands/commands.h"
#include "base/args.h"
#include "device/help.h"
#include "few_shot/rank.h"
#include "few_shot/shape.h"
#include "json/json.h"
#include "nn/hf.h"
#include "recipe/recipe.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

const char cz_rank_usage[] =
    "cloze rank --model DIR --pattern FILE --data FILE [--columns a,b] [--backslashes H] [--json] "
    "[--device D]\n"
    "Probes a masked LM as it is (LAMA, Petroni et al. 2019): at the mask of each pattern all "
    "words "
    "of the vocabulary are ranked, and it\n"
    "says how often the answer of a record, in the pattern file's label_column, is the first, how "
    "often among the first ten, and the mean\n"
    "of 1 / rank. Answers are any words; the pattern file needs no labels. An answer that is not "
    "one token is counted and left out.\n"
    "Patterns have one mask.\n"
    "  --pattern FILE    YAML with fields, label_column and patterns (docs/pet.md 3.2, 3.8)\n"
    "  --data FILE       .csv or .tsv whose first line names the columns, or "
    ".jsonl\n" CZ_COLUMNS_HELP
    "  --json            one object, with the rank of each answer (null: it is not one token)\n"
    "  --device D        " CZ_DEVICE_HELP "\n";

/* Records that are computed together; tokens of a text. */
enum { TOGETHER = 32, LONGEST = 256, FIRST = 10 };

/* What a pattern's answers gave. */
typedef struct totals {
  int64_t first, among;
  double reciprocal;
  json_t *ranks;
} totals;

typedef struct session {
  const char *folder, *pattern, *data, *device_name, *columns, *backslashes;
  bool json;
  cz_arena *arena; /* of the names of columns */
  cz_device *device;
  cz_model *model;
  cz_tokenizer *tokenizer;
  cz_pattern_file *file;
  cz_prompts *prompts;
  cz_table *table;
  cz_ranker *ranker;
  cz_text_set set; /* records under way */
  int32_t answers[TOGETHER];
  totals *totals; /* [patterns] */
  int64_t ranked, others;
} session;

static cz_status parse(session *s, int argc, char **argv) {
  const cz_option options[] = {
      {"--model", &s->folder, NULL},       {"--pattern", &s->pattern, NULL},
      {"--data", &s->data, NULL},          {"--columns", &s->columns, NULL},
      {"--device", &s->device_name, NULL}, {"--backslashes", &s->backslashes, NULL},
      {"--json", NULL, &s->json}};
  CZ_TRY(cz_args_parse(&argc, argv, options, sizeof options / sizeof *options));
  CZ_TRY(cz_args_count(argc, argv, 0, 0, cz_rank_usage));
  if (!s->folder || !s->pattern || !s->data)
    return CZ_FAIL(CZ_EUSAGE, "rank: %s is missing",
                   !s->folder    ? "--model DIR"
                   : !s->pattern ? "--pattern FILE"
                                 : "--data FILE");
  return CZ_OK;
}

static cz_status open_model(session *s) {
  cz_model_config c;
  const cz_hf_options options = {.heads = CZ_HEAD_BIT(CZ_HEAD_MASKED_LM)};
  CZ_TRY(cz_recipe_model_folder(s->folder));
  CZ_TRY(cz_hf_config_of(&c, s->folder));
  if (!(cz_family_heads(c.family) & options.heads))
    return CZ_FAIL(CZ_EUSAGE,
                   "%s: words are ranked at a mask, and family %s is no masked LM; `cloze score` "
                   "says how likely it finds texts",
                   s->folder, c.family->name);
  CZ_TRY(cz_tokenizer_open(&s->tokenizer, s->folder));
  CZ_TRY(cz_masked_lm_check(s->folder, s->tokenizer));
  return cz_hf_open_with(&s->model, s->folder, s->device, &options);
}

static cz_status open_patterns(session *s) {
  const int64_t positions = cz_model_longest(&s->model->config);
  CZ_TRY(cz_patterns_open(&s->file, s->pattern, NULL));
  const cz_config_node *root = cz_config_root(s->file->config);
  if (s->file->task)
    return cz_config_error(cz_config_get(root, "task"),
                           "each record of task %s has %s, and ranked are all words; a pattern "
                           "file without `task` says in which `label_column` answers stand",
                           s->file->task->name,
                           s->file->candidates ? "candidates of its own" : "a target to generate");
  if (s->file->choices)
    return cz_config_error(cz_config_get(root, "choices"),
                           "the answers are each record's own; ranked are all words");
  for (size_t i = 0; i < s->file->n_patterns; i++)
    if (s->file->patterns[i].masks > 1)
      return cz_config_error(s->file->patterns[i].node,
                             "this pattern has %d masks: words of one token are ranked, at one",
                             (int)s->file->patterns[i].masks);
  CZ_TRY(cz_prompts_create_for(&s->prompts, s->file, s->tokenizer,
                               positions && positions < LONGEST ? positions : LONGEST,
                               CZ_READS_ANY_WORD));
  CZ_TRY(cz_prompt_texts_create(&s->set.texts, s->prompts));
  CZ_TRY(cz_ranker_create(&s->ranker, s->model, s->prompts));
  CZ_TRY(cz_alloc(&s->totals, s->file->n_patterns, sizeof *s->totals));
  for (size_t i = 0; i < s->file->n_patterns; i++) s->totals[i].ranks = json_array();
  return CZ_OK;
}

static cz_status open_all(session *s) {
  CZ_TRY(cz_device_open(&s->device, s->device_name));
  CZ_TRY(open_model(s));
  CZ_TRY(open_patterns(s));
  cz_table_layout layout = {.columns = s->file->columns,
                            .n_columns = s->file->n_fields,
                            .label = s->file->label_column,
                            .labels = CZ_LABELS_NEEDED};
  CZ_TRY(cz_arena_create(&s->arena, "columns"));
  CZ_TRY(cz_table_layout_take(&layout, s->arena, s->columns, s->backslashes));
  return cz_table_open(&s->table, s->data, &layout);
}

static cz_status count(totals *t, int64_t rank) {
  CZ_TRY(cz_json_add(t->ranks, rank ? json_integer(rank) : json_null()));
  if (!rank) return CZ_OK;
  t->first += rank == 1;
  t->among += rank <= FIRST;
  t->reciprocal += 1 / (double)rank;
  return CZ_OK;
}

/* Ranks the answers of the records that were read, and forgets them. */
static cz_status answer(session *s) {
  int64_t ranks[TOGETHER];
  s->set.n = s->set.texts->n;
  for (size_t p = 0; p < s->file->n_patterns && s->set.n; p++) {
    CZ_TRY(cz_ranker_run(s->ranker, ranks, &s->prompts->items[p], &s->set, s->answers));
    for (size_t i = 0; i < s->set.n; i++) CZ_TRY(count(&s->totals[p], ranks[i]));
  }
  cz_prompt_texts_clear(s->set.texts);
  return CZ_OK;
}

static cz_status rank_all(session *s) {
  cz_table_record row;
  for (;;) {
    bool more = false;
    CZ_TRY(cz_table_next(s->table, &row, &more));
    if (!more || s->set.texts->n == TOGETHER) CZ_TRY(answer(s));
    if (!more) break;
    int32_t *id = &s->answers[s->set.texts->n];
    CZ_TRY(cz_prompt_texts_word(s->set.texts, id, row.label));
    const cz_record record = {.fields = row.fields, .label = -1, .row = row.number};
    CZ_TRY(cz_prompt_texts_add(s->set.texts, &record));
    *(*id < 0 ? &s->others : &s->ranked) += 1;
  }
  if (s->ranked) return CZ_OK;
  return CZ_FAIL(CZ_EINVAL, "%s: of %" PRId64 " answers in its column '%s' none is one token of %s",
                 s->data, s->others, s->file->label_column, s->folder);
}

static cz_status describe(const session *s, json_t *root) {
  const double n = (double)s->ranked;
  json_t *list = json_array();
  CZ_TRY(cz_json_set(root, "patterns", list));
  CZ_TRY(cz_json_set_int(root, "words", cz_ranker_words(s->ranker)));
  CZ_TRY(cz_json_set_int(root, "answers", s->ranked));
  CZ_TRY(cz_json_set_int(root, "not_one_token", s->others));
  for (size_t p = 0; p < s->file->n_patterns; p++) {
    const totals *t = &s->totals[p];
    json_t *o = json_object();
    CZ_TRY(cz_json_add(list, o));
    CZ_TRY(cz_json_set_text(o, "pattern", s->file->patterns[p].text));
    CZ_TRY(cz_json_set_real(o, "precision_at_1", (double)t->first / n));
    CZ_TRY(cz_json_set_real(o, "precision_at_10", (double)t->among / n));
    CZ_TRY(cz_json_set_real(o, "mean_reciprocal_rank", t->reciprocal / n));
    CZ_TRY(cz_json_set(o, "ranks", json_incref(t->ranks)));
  }
  return CZ_OK;
}

static void print_table(const session *s) {
  const double n = (double)s->ranked;
  printf("%" PRId64 " answers among %" PRId64 " words; %" PRId64
         " more are not one token and are left out\n",
         s->ranked, cz_ranker_words(s->ranker), s->others);
  printf("%8s %8s %8s  pattern\n", "P@1", "P@10", "MRR");
  for (size_t p = 0; p < s->file->n_patterns; p++)
    printf("%8.3f %8.3f %8.3f  %s\n", (double)s->totals[p].first / n,
           (double)s->totals[p].among / n, s->totals[p].reciprocal / n, s->file->patterns[p].text);
}

static cz_status show(const session *s) {
  json_t *root = json_object();
  cz_buf text = {0};
  cz_status st = CZ_OK;
  if (!s->json) print_table(s);
  if (s->json) CZ_GO(st, describe(s, root), done);
  if (s->json) CZ_GO(st, cz_json_print(&text, root, JSON_INDENT(1)), done);
  if (s->json) printf("%s\n", text.data);
done:
  cz_buf_free(&text);
  json_decref(root);
  return st;
}

static void close_all(session *s) {
  for (size_t p = 0; s->totals && p < s->file->n_patterns; p++) json_decref(s->totals[p].ranks);
  free(s->totals);
  cz_ranker_destroy(&s->ranker);
  cz_table_close(&s->table);
  cz_prompt_texts_destroy(&s->set.texts);
  cz_prompts_destroy(&s->prompts);
  cz_patterns_close(&s->file);
  cz_tokenizer_destroy(&s->tokenizer);
  cz_model_destroy(&s->model);
  cz_device_close(&s->device);
  cz_arena_destroy(&s->arena);
}

/** The command `cloze rank`; its usage says what it reads and writes. */
cz_status cz_command_rank(int argc, char **argv) {
  session s = {.device_name = "cpu"};
  CZ_TRY(parse(&s, argc, argv));
  cz_status st = open_all(&s);
  if (st == CZ_OK) st = rank_all(&s);
  if (st == CZ_OK) st = show(&s);
  close_all(&s);
  return st;
}
