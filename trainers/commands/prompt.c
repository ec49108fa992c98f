/* `cloze prompt check`: what a pattern file makes of texts, and which ids its words are. */
#include "commands/commands.h"
#include "base/args.h"
#include "base/log.h"
#include "base/number.h"
#include "few_shot/prepare.h"
#include "json/json.h"
#include "nn/hf.h"
#include "prompts/prompt.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char cz_prompt_usage[] =
    "usage: cloze prompt check --model DIR --pattern FILE [--data FILE] [--row N] [--labels a,b] "
    "[--columns a,b] [--backslashes H] [--json] [max_length=N]\n"
    "\n"
    "Reads a pattern file against a model's tokenizer: proves each label word, and shows for each "
    "pattern the tokens that the model reads, where the\n"
    "masks are, what was cut, and the ids of the words; of a file without patterns, what a "
    "classifier reads. Weights are not looked at. Where the tokenizer has no\n"
    "mask token (GPT-2), the place of the answer is shown as {mask}, id -1.\n"
    "\n"
    "  --model DIR       folder with a tokenizer, or a tokenizer.json\n"
    "  --pattern FILE    YAML; experiments/pet/patterns has some, docs/pet.md says what is in "
    "them\n"
    "  --data FILE       .csv or .tsv whose first line names the columns, or .jsonl; all of it is "
    "tried, one row is shown\n"
    "  --row N           which, from 0 (default 0); without --data all fields are empty\n"
    "  --labels a,b      for a file that names no labels\n" CZ_COLUMNS_HELP
    "  --json            one object\n"
    "  max_length=N      tokens of an input, special ones included (default 256)\n";

typedef struct request {
  const char *model, *pattern, *data, *labels, *columns, *backslashes;
  int64_t row, max_length;
  bool json;
} request;

/* What all records gave with one pattern. */
typedef struct pattern_totals {
  size_t longest, cut; /* tokens of the longest input; records that lost some */
} pattern_totals;

typedef struct session {
  request r;
  cz_arena *arena; /* of the names of columns, and of words */
  cz_tokenizer *tokenizer;
  cz_pattern_file *file;
  cz_prompts *prompts;
  cz_records *records;
  cz_prompt_texts *texts;
  cz_prompt_input input;
  size_t shown; /* number of the text that is shown */
  pattern_totals totals;
} session;

static const cz_key_spec keys[] = {
    CZ_KEY(request, max_length, INT, .fallback = "256", .min = 1, .max = 1e6, .unit = "tokens",
           .help = "of an input, special ones included"),
};

static cz_status read_request(request *r, int argc, char **argv) {
  static const cz_section section = CZ_SECTION("prompt", "a prompt's input", keys);
  const char *row = NULL;
  const cz_option options[] = {
      {"--model", &r->model, NULL},     {"--pattern", &r->pattern, NULL},
      {"--data", &r->data, NULL},       {"--row", &row, NULL},
      {"--labels", &r->labels, NULL},   {"--json", NULL, &r->json},
      {"--columns", &r->columns, NULL}, {"--backslashes", &r->backslashes, NULL}};
  CZ_TRY(cz_args_parse(&argc, argv, options, sizeof options / sizeof *options));
  CZ_TRY(cz_args_count(argc, argv, 1, -1, cz_prompt_usage));
  if (strcmp(argv[1], "check"))
    return CZ_FAIL(CZ_EUSAGE, "prompt: the word after it is 'check', not '%s'", argv[1]);
  if (!r->model || !r->pattern)
    return CZ_FAIL(CZ_EUSAGE, "prompt check: --model DIR and --pattern FILE are wanted");
  if (row && !r->data)
    return CZ_FAIL(CZ_EUSAGE, "prompt check: --row is of --data, which is missing");
  if ((r->columns || r->backslashes) && !r->data)
    return CZ_FAIL(CZ_EUSAGE, "prompt check: --columns and --backslashes are of --data, which is "
                              "missing");
  if (row && (cz_parse_int(row, &r->row) != CZ_OK || r->row < 0))
    return CZ_FAIL(CZ_EUSAGE, "--row: expected a number from 0 up, found '%s'", row);
  cz_config *config;
  CZ_TRY(cz_config_from_words(&config, (const char *const *)argv + 2, (size_t)argc - 2));
  cz_status st = cz_config_bind(cz_config_root(config), &section, r, NULL);
  cz_config_destroy(&config);
  return st;
}

static cz_status read_data(session *s) {
  cz_table_layout how = {.labels = CZ_LABELS_IF_THERE};
  CZ_TRY(cz_table_layout_take(&how, s->arena, s->r.columns, s->r.backslashes));
  return cz_records_read_as(&s->records, s->file, s->r.data, &how);
}

/* Without patterns, as the classifier of the folder's family reads; of a tokenizer alone, as those
 * that read the first token. */
static cz_status reader_of(cz_reader_kind *reader, const session *s) {
  cz_model_config config = {0};
  bool found = false;
  *reader = s->file->n_patterns ? CZ_READS_PROMPTS : CZ_READS_PLAIN;
  if (s->file->n_patterns) return CZ_OK;
  CZ_TRY(cz_hf_config_find(&found, &config, s->r.model));
  if (found) *reader = cz_reader_of(&config);
  return CZ_OK;
}

static cz_status open_all(session *s) {
  cz_reader_kind reader = CZ_READS_PROMPTS;
  CZ_TRY(cz_arena_create(&s->arena, "prompt"));
  CZ_TRY(cz_tokenizer_open(&s->tokenizer, s->r.model));
  CZ_TRY(cz_patterns_open(&s->file, s->r.pattern, s->r.labels));
  CZ_TRY(reader_of(&reader, s));
  CZ_TRY(cz_prompts_create_for(&s->prompts, s->file, s->tokenizer, s->r.max_length, reader));
  CZ_TRY(cz_prompt_texts_create(&s->texts, s->prompts));
  return s->r.data ? read_data(s) : CZ_OK;
}

/* Tokenises all records, or one whose fields are empty. */
static cz_status add_texts(session *s) {
  const char *empty[CZ_PATTERN_FIELDS];
  for (size_t i = 0; i < CZ_PATTERN_FIELDS; i++) empty[i] = "";
  const cz_record none = {.fields = empty, .label = -1};
  if (!s->records) return cz_prompt_texts_add(s->texts, &none);
  if ((size_t)s->r.row >= s->records->n)
    return CZ_FAIL(CZ_EUSAGE, "--row %" PRId64 ": %s has %zu records, numbered from 0", s->r.row,
                   s->r.data, s->records->n);
  s->texts->path = s->records->path;
  for (size_t i = 0; i < s->records->n; i++)
    CZ_TRY(cz_prompt_texts_add(s->texts, &s->records->items[i]));
  s->shown = (size_t)s->r.row;
  return CZ_OK;
}

/* Ids of all words of record I, [C, W, masks]. */
static size_t cells_of(const session *s, const cz_prompt *prompt, size_t i) {
  return cz_prompt_answer_count(s->texts, i) * prompt->n_words * (size_t)prompt->pattern->masks;
}

/* Applies PROMPT to all records, which have an answer for each label; the one that is shown stays
 * in s->input. */
static cz_status apply(session *s, const cz_prompt *prompt) {
  int32_t *ids;
  size_t cells = 0;
  for (size_t i = 0; i < s->texts->n; i++)
    if (cells_of(s, prompt, i) > cells) cells = cells_of(s, prompt, i);
  CZ_TRY(cz_arena_alloc(s->arena, &ids, cells, sizeof *ids));
  s->totals = (pattern_totals){0};
  for (size_t i = 0; i <= s->texts->n; i++) {
    size_t which = i < s->texts->n ? i : s->shown;
    CZ_TRY(cz_prompt_apply(&s->input, s->prompts, prompt, s->texts, which));
    if (prompt->choices && s->records)
      CZ_TRY(cz_prompt_answers(ids, s->prompts, prompt, s->texts, which));
    if (s->input.encoding.n > s->totals.longest) s->totals.longest = s->input.encoding.n;
    s->totals.cut += i < s->texts->n && s->input.n_cut > 0;
  }
  return CZ_OK;
}

static int32_t mask_of(const session *s) { return cz_tokenizer_get_facts(s->tokenizer)->mask; }

/* A token as it stands in the vocabulary; the place of a mask where that has none. */
static const char *token_of(const session *s, int32_t id) {
  size_t n;
  if (id < 0) return "{mask}";
  const char *token = cz_tokenizer_token(s->tokenizer, id, &n);
  return token ? token : "?";
}

static size_t masks_of(const cz_prompt *prompt) { return (size_t)prompt->pattern->masks; }

/* Ids of word J of label I, of WORDS [C, W, masks]. */
static const int32_t *word_of(const int32_t *words, const cz_prompt *prompt, size_t i, size_t j) {
  return words + (i * prompt->n_words + j) * masks_of(prompt);
}

static cz_status set_ids(json_t *o, const char *key, const int32_t *ids, size_t n) {
  json_t *list = json_array();
  cz_status st = cz_json_set(o, key, list);
  for (size_t i = 0; i < n && st == CZ_OK; i++) st = cz_json_add(list, json_integer(ids[i]));
  return st;
}

static cz_status set_tokens(const session *s, json_t *o, const char *key, const int32_t *ids,
                            size_t n) {
  json_t *list = json_array();
  cz_status st = cz_json_set(o, key, list);
  for (size_t i = 0; i < n && st == CZ_OK; i++)
    st = cz_json_add(list, cz_json_string(token_of(s, ids[i])));
  return st;
}

/* The text of word J of label I, N IDS: a record's own answer is what they spell. */
static cz_status set_word(const session *s, json_t *word, const cz_prompt *prompt, size_t i,
                          size_t j, const int32_t *ids, size_t n) {
  cz_buf text = {0};
  if (!prompt->choices) return cz_json_set_text(word, "word", prompt->pattern->words[i].words[j]);
  cz_status st = cz_tokenizer_decode(s->tokenizer, &text, ids, n, false);
  if (st == CZ_OK) st = cz_buf_add(&text, "", 1);
  if (st == CZ_OK) st = cz_json_set_text(word, "word", text.data + strspn(text.data, " "));
  cz_buf_free(&text);
  return st;
}

static cz_status add_word(const session *s, json_t *list, const cz_prompt *prompt,
                          const int32_t *words, size_t i, size_t j) {
  const int32_t *ids = word_of(words, prompt, i, j);
  const size_t n = cz_prompt_answer_length(ids, masks_of(prompt));
  json_t *word = json_object();
  CZ_TRY(cz_json_add(list, word));
  CZ_TRY(set_word(s, word, prompt, i, j, ids, n));
  CZ_TRY(set_ids(word, "ids", ids, n));
  return set_tokens(s, word, "tokens", ids, n);
}

/* What class I of the record that is shown is called: a label, or a candidate's text. */
static const char *name_of(const session *s, size_t i) {
  return s->file->candidates ? s->records->items[s->shown].candidates[i] : s->file->labels[i];
}

/* The words of labels; where records have answers of their own those of the one that is shown, and
 * none without data. */
static cz_status set_words(const session *s, json_t *o, const cz_prompt *prompt) {
  json_t *words = json_object();
  int32_t *ids;
  CZ_TRY(cz_json_set(o, "words", words));
  if (prompt->choices && !s->records) return CZ_OK;
  CZ_TRY(cz_arena_alloc(s->arena, &ids, cells_of(s, prompt, s->shown), sizeof *ids));
  CZ_TRY(cz_prompt_answers(ids, s->prompts, prompt, s->texts, s->shown));
  for (size_t i = 0; i < cz_prompt_answer_count(s->texts, s->shown); i++) {
    json_t *list = json_array();
    CZ_TRY(cz_json_set(words, s->file->generates ? "target" : name_of(s, i), list));
    for (size_t j = 0; j < (prompt->choices ? 1 : prompt->pattern->words[i].n); j++)
      CZ_TRY(add_word(s, list, prompt, ids, i, j));
  }
  return CZ_OK;
}

/* What each piece that may be cut has and has lost. */
static cz_status set_cut(const session *s, json_t *o, const cz_prompt *prompt) {
  json_t *list = json_array();
  CZ_TRY(cz_json_set_int(o, "cut", (json_int_t)s->input.n_cut));
  CZ_TRY(cz_json_set(o, "cut_fields", list));
  for (size_t i = 0; i < prompt->pattern->n; i++) {
    const cz_prompt_piece *piece = &prompt->pieces[i];
    if (!piece->shortenable) continue;
    const cz_pattern_part *part = &s->file->sources[piece->source].parts[0];
    const cz_prompt_text *text = &s->texts->items[s->shown * s->file->n_sources + piece->source];
    json_t *item = json_object();
    CZ_TRY(cz_json_add(list, item));
    CZ_TRY(cz_json_set_text(item, "field", s->file->fields[part->field]));
    CZ_TRY(cz_json_set_int(item, "tokens", (json_int_t)text->n));
    CZ_TRY(cz_json_set_int(item, "cut", (json_int_t)s->input.cut[i]));
  }
  return CZ_OK;
}

static cz_status describe(const session *s, json_t *o, const cz_prompt *prompt) {
  const cz_encoding *e = &s->input.encoding;
  CZ_TRY(cz_json_set_text(o, "pattern", prompt->pattern->text));
  CZ_TRY(set_tokens(s, o, "tokens", e->ids, e->n));
  CZ_TRY(set_ids(o, "ids", e->ids, e->n));
  CZ_TRY(set_ids(o, "types", e->types, e->n));
  CZ_TRY(set_ids(o, "mask_rows", s->input.rows, s->input.n_rows));
  CZ_TRY(set_cut(s, o, prompt));
  if (prompt->pattern->words) CZ_TRY(set_words(s, o, prompt));
  CZ_TRY(cz_json_set_int(o, "without_fields", (json_int_t)prompt->fixed));
  if (!s->records) return CZ_OK;
  CZ_TRY(cz_json_set_int(o, "longest", (json_int_t)s->totals.longest));
  return cz_json_set_int(o, "records_cut", (json_int_t)s->totals.cut);
}

static cz_status set_records(const session *s, json_t *root) {
  const cz_records *r = s->records;
  json_t *data = json_object(), *counts = json_object();
  CZ_TRY(cz_json_set(root, "data", data));
  CZ_TRY(cz_json_set(data, "labels", counts));
  CZ_TRY(cz_json_set_text(data, "file", r->path));
  CZ_TRY(cz_json_set_int(data, "records", (json_int_t)r->n));
  CZ_TRY(cz_json_set_int(data, "unlabelled", (json_int_t)r->unlabelled));
  CZ_TRY(cz_json_set_int(data, "row", s->r.row));
  const int32_t label = r->items[s->shown].label;
  CZ_TRY(label < 0 ? cz_json_set(data, "label", json_null())
                   : cz_json_set_text(data, "label", name_of(s, (size_t)label)));
  for (size_t i = 0; i < s->file->n_labels; i++)
    CZ_TRY(cz_json_set_int(counts, s->file->labels[i], (json_int_t)r->of_label[i]));
  return CZ_OK;
}

/* Everything that is shown, as one tree. */
static cz_status collect(session *s, json_t *root) {
  const bool plain = !s->file->n_patterns;
  const cz_prompt *prompts = plain ? s->prompts->plains : s->prompts->items;
  json_t *labels = json_array(), *list = json_array();
  CZ_TRY(cz_json_set(root, "labels", labels));
  CZ_TRY(cz_json_set(root, "patterns", list));
  CZ_TRY(cz_json_set_text(root, "file", s->file->path));
  CZ_TRY(cz_json_set_int(root, "max_length", s->r.max_length));
  CZ_TRY(cz_json_set(root, "leading_space", json_boolean(s->prompts->leading_space)));
  CZ_TRY(mask_of(s) < 0 ? cz_json_set(root, "mask_token", json_null())
                        : cz_json_set_text(root, "mask_token", token_of(s, mask_of(s))));
  for (size_t i = 0; i < s->file->n_labels; i++)
    CZ_TRY(cz_json_add(labels, cz_json_string(s->file->labels[i])));
  if (s->records) CZ_TRY(set_records(s, root));
  if (plain) CZ_TRY(cz_json_set_text(root, "input", cz_input_names[s->file->input]));
  for (size_t i = 0; i < (plain ? s->file->n_plains : s->file->n_patterns); i++) {
    json_t *o = json_object();
    CZ_TRY(cz_json_add(list, o));
    CZ_TRY(apply(s, &prompts[i]));
    CZ_TRY(describe(s, o, &prompts[i]));
  }
  return CZ_OK;
}

static void print_list(const char *name, const json_t *list) {
  printf("  %-7s", name);
  for (size_t i = 0; i < json_array_size(list); i++) {
    const json_t *item = json_array_get(list, i);
    if (json_is_string(item))
      printf(" %s", json_string_value(item));
    else
      printf(" %" JSON_INTEGER_FORMAT, json_integer_value(item));
  }
  printf("\n");
}

static void print_words(const json_t *words) {
  const char *label;
  json_t *list;
  json_object_foreach((json_t *)words, label, list) {
    printf("    %s:", label);
    for (size_t j = 0; j < json_array_size(list); j++) {
      const json_t *word = json_array_get(list, j), *ids = json_object_get(word, "ids");
      printf("%s %s", j ? "," : "", json_string_value(json_object_get(word, "word")));
      for (size_t k = 0; k < json_array_size(ids); k++)
        printf("%s%" JSON_INTEGER_FORMAT, k ? " " : " (",
               json_integer_value(json_array_get(ids, k)));
      printf(")");
    }
    printf("\n");
  }
}

static void print_cut(const json_t *pattern, int64_t max_length) {
  const json_t *fields = json_object_get(pattern, "cut_fields");
  printf("  length  %zu of %" PRId64, json_array_size(json_object_get(pattern, "ids")), max_length);
  if (!json_integer_value(json_object_get(pattern, "cut"))) printf(", nothing cut");
  for (size_t i = 0; i < json_array_size(fields); i++) {
    const json_t *f = json_array_get(fields, i);
    const json_int_t cut = json_integer_value(json_object_get(f, "cut"));
    if (cut)
      printf(", %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " tokens of %s cut", cut,
             json_integer_value(json_object_get(f, "tokens")),
             json_string_value(json_object_get(f, "field")));
  }
  printf("\n");
  if (json_object_get(pattern, "longest"))
    printf("  data    longest input %" JSON_INTEGER_FORMAT ", %" JSON_INTEGER_FORMAT
           " records cut\n",
           json_integer_value(json_object_get(pattern, "longest")),
           json_integer_value(json_object_get(pattern, "records_cut")));
}

static void print_text(const session *s, const json_t *root) {
  const json_t *patterns = json_object_get(root, "patterns"),
               *input = json_object_get(root, "input");
  if (input)
    printf("a classifier reads: %s, %zu text%s\n", json_string_value(input),
           json_array_size(patterns), json_array_size(patterns) == 1 ? "" : "s");
  if (!input && mask_of(s) < 0)
    printf("no mask token: a causal LM scores the text with each word in the place of {mask}\n");
  for (size_t i = 0; i < json_array_size(patterns); i++) {
    const json_t *p = json_array_get(patterns, i);
    printf("%s %zu: %s\n", input ? "text" : "pattern", i,
           json_string_value(json_object_get(p, "pattern")));
    print_list("tokens", json_object_get(p, "tokens"));
    print_list("ids", json_object_get(p, "ids"));
    print_list("types", json_object_get(p, "types"));
    if (!input) print_list("masks", json_object_get(p, "mask_rows"));
    print_cut(p, s->r.max_length);
    if (input) continue;
    printf("  words\n");
    print_words(json_object_get(p, "words"));
  }
}

static cz_status show(session *s, FILE *out) {
  json_t *root = json_object();
  cz_buf text = {0};
  cz_status st;
  CZ_GO(st, collect(s, root), done);
  if (s->r.json) {
    CZ_GO(st, cz_json_print(&text, root, JSON_INDENT(1)), done);
    fprintf(out, "%s\n", text.data);
  } else {
    print_text(s, root);
  }
done:
  cz_buf_free(&text);
  json_decref(root);
  return st;
}

/** The command: argv[0] is "prompt". CZ_EUSAGE for wrong arguments and everything that is wrong in
 * the pattern file, CZ_EINVAL for data that are not what it says, with their place. */
cz_status cz_command_prompt(int argc, char **argv) {
  session s = {0};
  cz_status st;
  CZ_TRY(read_request(&s.r, argc, argv));
  CZ_GO(st, open_all(&s), done);
  if (s.records) cz_records_warn_classes(s.records, s.file);
  if (s.records && s.records->no_label) cz_warn("%s", s.records->no_label);
  CZ_GO(st, add_texts(&s), done);
  CZ_GO(st, show(&s, stdout), done);
done:
  cz_prompt_input_free(&s.input);
  cz_prompt_texts_destroy(&s.texts);
  cz_records_destroy(&s.records);
  cz_arena_destroy(&s.arena);
  cz_prompts_destroy(&s.prompts);
  cz_patterns_close(&s.file);
  cz_tokenizer_destroy(&s.tokenizer);
  return st;
}
