/* Prompts: equal to what the Hugging Face library makes of each piece and the published
 * truncation of them (scripts/make_prompt_fixtures.py), and to a loop that takes one token at a
 * time, on random patterns, texts and lengths. Label words, and what is said to wrong ones. */
#include "common/common.h"
#include "base/clock.h"
#include "json/json.h"
#include "prompts/prompt.h"

#include <stdio.h>
#include <stdlib.h>

#define FIXTURE(name) CZ_SOURCE_DIR "/tests/fixtures/prompts/" name

static const char *const kinds[] = {FIXTURE("bert"), FIXTURE("roberta"), FIXTURE("xlmr")};

/* A file of one or more patterns for one tokenizer. */
typedef struct setup {
  cz_tokenizer *tokenizer;
  cz_pattern_file *file;
  cz_prompts *prompts;
  cz_prompt_texts *texts;
  cz_prompt_input input;
} setup;

static cz_tokenizer *open_kind(const char *kind) {
  char path[512];
  cz_tokenizer *t;
  snprintf(path, sizeof path, "%s.json", kind);
  OK(cz_tokenizer_open(&t, path));
  return t;
}

static void close_all(setup *s) {
  cz_prompt_input_free(&s->input);
  cz_prompt_texts_destroy(&s->texts);
  cz_prompts_destroy(&s->prompts);
  cz_patterns_close(&s->file);
}

static void quote(cz_buf *out, const char *text) {
  OK(cz_buf_add(out, "'", 1));
  for (; *text; text++) OK(cz_buf_addf(out, *text == '\'' ? "''" : "%c", *text));
  OK(cz_buf_add(out, "'", 1));
}

/* A file with the one PATTERN and its fields a, b. */
static void parse_pattern(setup *s, const char *pattern) {
  cz_buf text = {0};
  OK(cz_buf_addf(&text,
                 "fields: {a: a, b: b}\nlabels: [x, y]\nwords: {x: good, y: bad}\npatterns: ["));
  quote(&text, pattern);
  OK(cz_buf_addf(&text, "]\n"));
  OK(cz_patterns_parse(&s->file, "p.yaml", text.data, text.len, NULL));
  cz_buf_free(&text);
}

static cz_status apply(setup *s, const char *const *fields, int64_t max_length) {
  const cz_record record = {.fields = fields, .label = -1, .row = 7};
  cz_status st =
      cz_prompts_create_for(&s->prompts, s->file, s->tokenizer, max_length, CZ_READS_PROMPTS);
  if (st != CZ_OK) return st;
  OK(cz_prompt_texts_create(&s->texts, s->prompts));
  OK(cz_prompt_texts_add(s->texts, &record));
  return cz_prompt_apply(&s->input, s->prompts, &s->prompts->items[0], s->texts, 0);
}

static void expect_list(const json_t *o, const char *key, const int32_t *found, size_t n) {
  const json_t *list = json_object_get(o, key);
  assert_int_equal(json_array_size(list), n);
  for (size_t i = 0; i < n; i++)
    assert_int_equal(json_integer_value(json_array_get(list, i)), found[i]);
}

static void check_case(cz_tokenizer *t, const json_t *o) {
  setup s = {.tokenizer = t};
  const json_t *texts = json_object_get(o, "fields");
  const char *fields[2];
  for (size_t i = 0; i < 2; i++) fields[i] = json_string_value(json_array_get(texts, i));
  parse_pattern(&s, json_string_value(json_object_get(o, "pattern")));
  cz_status st = apply(&s, fields, json_integer_value(json_object_get(o, "max_length")));
  if (json_object_get(o, "refused")) {
    assert_true(st == CZ_EINVAL || st == CZ_EUSAGE);
    assert_non_null(strstr(cz_error_message(), "max_length is"));
  } else {
    OK(st);
    expect_list(o, "ids", s.input.encoding.ids, s.input.encoding.n);
    expect_list(o, "types", s.input.encoding.types, s.input.encoding.n);
    expect_list(o, "rows", s.input.rows, s.input.n_rows);
    assert_int_equal(json_integer_value(json_object_get(o, "cut")), s.input.n_cut);
  }
  close_all(&s);
}

static void test_library(void **state) {
  for (size_t k = 0; k < 3; k++) {
    cz_tokenizer *t = open_kind(kinds[k]);
    char path[512];
    json_t *root;
    snprintf(path, sizeof path, "%s.cases.json", kinds[k]);
    OK(cz_json_read(&root, path));
    const json_t *cases = json_object_get(root, "cases");
    assert_true(json_array_size(cases) > 100);
    for (size_t i = 0; i < json_array_size(cases); i++) check_case(t, json_array_get(cases, i));
    json_decref(root);
    cz_tokenizer_destroy(&t);
  }
}

/* ---- one token at a time */

typedef struct part { /* of a random pattern */
  int32_t *ids;
  size_t n;
  bool shortenable, mask;
} part;

typedef struct example {
  part parts[12];
  size_t n, second; /* second: the first part of the second segment, n: none */
  char pattern[512];
  const char *fields[2];
} example;

static size_t pick(size_t n) { return (size_t)rand() % n; }

static const char *random_text(char *out, size_t bytes) {
  static const char *const words[] = {"the",      "good",   "World", "unknown", "[MASK]",
                                      "</s>",     "<mask>", "of",    ",",       "sense",
                                      "\xc3\xbc", "x.y",    "[SEP]", "tech"};
  size_t n = 0, count = pick(4) ? pick(30) : 0;
  out[0] = '\0';
  for (size_t i = 0; i < count && n + 16 < bytes; i++)
    n += (size_t)snprintf(out + n, bytes - n, "%s%s", i ? " " : "", words[pick(14)]);
  return out;
}

static void set_ids(part *p, const cz_tokenizer *t, cz_tokenizer_scratch *scratch, bool space,
                    const char *text) {
  cz_encoding e = {0};
  char spaced[1024];
  snprintf(spaced, sizeof spaced, "%s%s", space && *text ? " " : "", text);
  OK(cz_tokenizer_encode(t, &e, spaced, strlen(spaced),
                         (cz_encode_options){.text_only = true, .no_special = true}, scratch));
  p->n = e.n;
  p->ids = malloc((e.n + 1) * sizeof *p->ids);
  assert_non_null(p->ids);
  if (e.n) memcpy(p->ids, e.ids, e.n * sizeof *p->ids);
  cz_encoding_free(&e);
}

/* A pattern of three to nine pieces, each of which is also a part. Texts never follow one another,
 * since two would be one piece. */
static void draw(example *x, const cz_tokenizer *t, cz_tokenizer_scratch *scratch, bool space) {
  static const char *const texts[] = {"News :", "it was", ".", "( (", "\"", "Category"};
  const size_t n = 3 + pick(7), mask = pick(n), field = (mask + 1 + pick(n - 1)) % n,
               cut = pick(2) ? 1 + pick(n - 1) : n;
  size_t at = 0;
  bool text_before = false;
  *x = (example){.n = n, .second = cut, .fields = {x->fields[0], x->fields[1]}};
  for (size_t i = 0; i < n; i++) {
    part *p = &x->parts[i];
    if (i == cut) text_before = false;
    at += (size_t)snprintf(x->pattern + at, sizeof x->pattern - at, "%s", i == cut ? " || " : " ");
    if (i == mask) {
      int masks = 1 + (int)pick(3);
      p->mask = true;
      p->n = (size_t)masks;
      p->ids = malloc(4 * sizeof *p->ids);
      for (int k = 0; k < masks; k++) p->ids[k] = cz_tokenizer_get_facts(t)->mask;
      at += (size_t)snprintf(x->pattern + at, sizeof x->pattern - at, "{mask:%d}", masks);
      text_before = false;
    } else if (i == field || text_before || pick(2)) {
      const size_t which = pick(2);
      p->shortenable = pick(4) > 0;
      set_ids(p, t, scratch, space, x->fields[which]);
      at += (size_t)snprintf(x->pattern + at, sizeof x->pattern - at, "{%c%s}", which ? 'b' : 'a',
                             p->shortenable ? "*" : "");
      text_before = false;
    } else {
      const char *text = texts[pick(6)];
      set_ids(p, t, scratch, space, text);
      at += (size_t)snprintf(x->pattern + at, sizeof x->pattern - at, "%s", text);
      text_before = true;
    }
  }
}

static size_t room(const example *x, size_t from, size_t to) {
  size_t n = 0;
  for (size_t i = from; i < to; i++) n += x->parts[i].shortenable ? x->parts[i].n : 0;
  return n;
}

/* The published loop. False: too little may be cut. */
static bool shorten(example *x, size_t maximum, size_t special) {
  for (;;) {
    size_t total = special, a = room(x, 0, x->second), b = room(x, x->second, x->n);
    for (size_t i = 0; i < x->n; i++) total += x->parts[i].n;
    if (total <= maximum) return true;
    if (a + b == 0) return false;
    size_t i = a > b ? x->second : x->n;
    do i--;
    while (!x->parts[i].shortenable || !x->parts[i].n);
    x->parts[i].n--;
  }
}

static void compare(const example *x, const setup *s) {
  const cz_encoding *e = &s->input.encoding;
  size_t at = 0, masks = 0;
  for (size_t i = 0; i < x->n; i++) {
    if (i == 0 || i == x->second) at = e->begin[i > 0];
    for (size_t k = 0; k < x->parts[i].n; k++, at++) {
      assert_int_equal(e->ids[at], x->parts[i].ids[k]);
      if (x->parts[i].mask) assert_int_equal(s->input.rows[masks++], at);
    }
  }
  assert_int_equal(masks, s->input.n_rows);
}

/* No mask is lost, none comes out of a text, and the length is kept. */
static void check_properties(const setup *s, size_t maximum) {
  const cz_encoding *e = &s->input.encoding;
  const cz_tokenizer_facts *f = cz_tokenizer_get_facts(s->tokenizer);
  size_t masks = 0, special = 0;
  for (size_t i = 0; i < e->n; i++) {
    masks += e->ids[i] == f->mask;
    special += e->ids[i] == f->cls || e->ids[i] == f->sep;
  }
  assert_true(e->n <= maximum);
  assert_int_equal(masks, s->file->patterns[0].masks);
  assert_int_equal(s->input.n_rows, masks);
  assert_int_equal(special, s->prompts->items[0].special[s->input.pair]);
}

static void try_example(cz_tokenizer *t, cz_tokenizer_scratch *scratch, bool space) {
  static char texts[2][1024];
  example x = {
      .fields = {random_text(texts[0], sizeof texts[0]), random_text(texts[1], sizeof texts[1])}};
  setup s = {.tokenizer = t};
  draw(&x, t, scratch, space);
  parse_pattern(&s, x.pattern);
  bool second = false;
  for (size_t i = x.second; i < x.n; i++) second |= x.parts[i].mask || x.parts[i].n > 0;
  const size_t maximum = 4 + pick(70), special = cz_tokenizer_added(t, second);
  cz_status st = apply(&s, x.fields, (int64_t)maximum);
  bool fits = shorten(&x, maximum, special);
  if ((st == CZ_OK) != fits)
    fail_msg("'%s' at %zu: %s", x.pattern, maximum, st ? cz_error_message() : "was not refused");
  if (st == CZ_OK) {
    compare(&x, &s);
    check_properties(&s, maximum);
  } else {
    assert_non_null(strstr(cz_error_message(), "max_length is"));
  }
  for (size_t i = 0; i < x.n; i++) free(x.parts[i].ids);
  close_all(&s);
}

static void test_one_at_a_time(void **state) {
  srand((unsigned)test_seed());
  for (size_t k = 0; k < 3; k++) {
    cz_tokenizer *t = open_kind(kinds[k]);
    cz_tokenizer_scratch *scratch;
    OK(cz_tokenizer_scratch_create(&scratch, t));
    for (int i = 0; i < 700; i++) try_example(t, scratch, k == 1);
    cz_tokenizer_scratch_destroy(&scratch);
    cz_tokenizer_destroy(&t);
  }
}

/* A text of 1 MB takes no time per token that is cut. */
static void test_long(void **state) {
  enum { WORDS = 200000 };
  setup s = {.tokenizer = open_kind(kinds[0])};
  char *text = malloc(WORDS * 5 + 1);
  assert_non_null(text);
  for (size_t i = 0; i < WORDS; i++) memcpy(text + i * 5, "good ", 5);
  text[WORDS * 5] = '\0';
  const char *fields[2] = {text, "the good"};
  parse_pattern(&s, "{mask} : {a*} || {b*}");
  OK(apply(&s, fields, 64));
  double began = cz_seconds();
  for (int i = 0; i < 1000; i++)
    OK(cz_prompt_apply(&s.input, s.prompts, &s.prompts->items[0], s.texts, 0));
  assert_true(cz_seconds() - began < 1);
  assert_int_equal(s.input.encoding.n, 64);
  assert_int_equal(s.input.n_cut, WORDS + 2 + 2 + 3 - 64);
  assert_true(s.texts->n_ids < 200); /* of the text no more than an input holds */
  close_all(&s);
  cz_tokenizer_destroy(&s.tokenizer);
  free(text);
}

/* ---- fields are tokenised once */

static void test_texts(void **state) {
  static const char file[] = "fields: {a: a}\nlabels: [x, y]\nwords: {x: good, y: bad}\n"
                             "patterns: ['{mask} {a*}', '{a*} {mask}', '{a} ( {mask} )']\n";
  setup s = {.tokenizer = open_kind(kinds[1])};
  OK(cz_patterns_parse(&s.file, "p.yaml", file, strlen(file), NULL));
  OK(cz_prompts_create_for(&s.prompts, s.file, s.tokenizer, 32, CZ_READS_PROMPTS));
  OK(cz_prompt_texts_create(&s.texts, s.prompts));
  assert_int_equal(s.file->n_sources, 1);
  for (int i = 0; i < 3; i++) {
    const char *fields[] = {i == 1 ? "great great" : "world"};
    OK(cz_prompt_texts_add(s.texts, &(cz_record){.fields = fields, .label = -1, .row = i}));
  }
  assert_int_equal(s.texts->n_ids, 4);
  size_t n[3];
  for (size_t i = 0; i < 3; i++) {
    OK(cz_prompt_apply(&s.input, s.prompts, &s.prompts->items[0], s.texts, i));
    n[i] = s.input.encoding.n;
  }
  assert_true(n[0] == n[2] && n[1] == n[0] + 1);
  OK(cz_prompt_apply(&s.input, s.prompts, &s.prompts->plains[0], s.texts, 1)); /* for classifiers */
  assert_int_equal(s.input.encoding.n, 4);
  assert_int_equal(s.input.n_rows, 0);
  cz_prompt_texts_clear(s.texts);
  assert_int_equal(s.texts->n, 0);
  close_all(&s);
  cz_tokenizer_destroy(&s.tokenizer);
}

/* What a causal model's classifier reads of PLAIN, with texts FIRST and SECOND. */
static void framed(setup *s, const char *file, const char *first, const char *second, size_t n) {
  const char *fields[] = {first, second};
  cz_patterns_close(&s->file);
  OK(cz_patterns_parse(&s->file, "p.yaml", file, strlen(file), NULL));
  cz_prompts_destroy(&s->prompts);
  cz_prompt_texts_destroy(&s->texts);
  OK(cz_prompts_create_for(&s->prompts, s->file, s->tokenizer, (int64_t)n, CZ_READS_FRAMED));
  assert_null(s->prompts->items); /* masks are not asked for */
  OK(cz_prompt_texts_create(&s->texts, s->prompts));
  OK(cz_prompt_texts_add(s->texts, &(cz_record){.fields = fields, .label = -1}));
  OK(cz_prompt_apply(&s->input, s->prompts, &s->prompts->plains[0], s->texts, 0));
}

/* FRAME's tokens around what the tokenizer makes of the texts by themselves, TAKE tokens of each.
 */
static void expect_framed(const setup *s, const cz_prompt_frame *frame, bool two,
                          const size_t *take) {
  const cz_prompt_text *t = s->texts->items;
  int32_t want[64];
  size_t n = 0;
  want[n++] = frame->start;
  for (int k = 0; k < (two ? 2 : 1); k++) {
    if (k) want[n++] = frame->delimiter;
    memcpy(want + n, s->texts->ids + t[k].begin, take[k] * sizeof *want);
    n += take[k];
  }
  want[n++] = frame->extract;
  assert_int_equal(s->input.encoding.n, n);
  assert_memory_equal(s->input.encoding.ids, want, n * sizeof *want);
}

/* GPT-2's tokenizer has one token for start, delimiter and extract, others have three; texts that
 * spell one are text, and it is never cut. Tokenizers that put tokens around texts get no others.
 */
static void test_frame(void **state) {
  static const char pair[] = "fields: {a: a, b: b}\nlabels: [x, y]\n",
                    both[] = "fields: {a: a, b: b}\nlabels: [x, y]\ninput: similarity\n",
                    masks[] = "fields: {a: a, b: b}\nlabels: [x, y]\npatterns: ['{mask} {a}']\n";
  setup s = {0};
  OK(cz_tokenizer_open(&s.tokenizer, CZ_SOURCE_DIR "/tests/fixtures/text/gpt2.json"));
  const int32_t end = cz_tokenizer_id(s.tokenizer, "<|endoftext|>", 13);
  const cz_prompt_frame ends = {end, end, end};
  assert_true(end >= 0);
  framed(&s, pair, "the man", "who?", 64);
  const size_t whole[2] = {s.texts->items[0].n, s.texts->items[1].n}, first[2] = {whole[0], 0};
  expect_framed(&s, &ends, true, whole);
  framed(&s, pair, "the man", "", 64); /* one text, as of any pattern */
  expect_framed(&s, &ends, false, first);
  framed(&s, both, "the man", "", 64); /* and two where both orders are read */
  expect_framed(&s, &ends, true, first);
  framed(&s, masks, "<|endoftext|>", "a b c d e f g h i j k l", 9);
  assert_true(s.texts->items[0].n > 3 && s.texts->items[1].n > 3);
  for (size_t i = 0; i < s.texts->n_ids; i++) assert_true(s.texts->ids[i] != end);
  expect_framed(&s, &ends, true, (const size_t[]){3, 3});
  close_all(&s);
  cz_tokenizer_destroy(&s.tokenizer);
  OK(cz_tokenizer_open(&s.tokenizer, CZ_SOURCE_DIR "/tests/fixtures/transforms/gpt2.3"));
  framed(&s, pair, "the cat", "sat", 8);
  expect_framed(&s, &(cz_prompt_frame){1, 2, 3}, true, (const size_t[]){2, 1});
  close_all(&s);
  cz_tokenizer_destroy(&s.tokenizer);
  s.tokenizer = open_kind(kinds[0]);
  framed(&s, pair, "the man", "great", 16);
  assert_false(s.prompts->framed);
  assert_int_equal(s.input.encoding.ids[0], cz_tokenizer_get_facts(s.tokenizer)->cls);
  close_all(&s);
  cz_tokenizer_destroy(&s.tokenizer);
  OK(cz_tokenizer_open(&s.tokenizer, CZ_SOURCE_DIR "/tests/fixtures/score/gpt2_lm.json"));
  OK(cz_patterns_parse(&s.file, "p.yaml", pair, strlen(pair), NULL));
  FAILS(cz_prompts_create_for(&s.prompts, s.file, s.tokenizer, 8, CZ_READS_FRAMED), CZ_EUSAGE,
        "p.yaml: a causal model's classifier reads the last token of start, text and extract, and "
        "the tokenizer has no token for that");
  cz_patterns_close(&s.file);
  OK(cz_patterns_parse_classifier(&s.file, "t.json", pair,
                                  strlen(pair))); /* does not say `input` */
  OK(cz_prompts_create_for(&s.prompts, s.file, s.tokenizer, 8, CZ_READS_FRAMED));
  assert_false(s.prompts->framed);
  close_all(&s);
  cz_tokenizer_destroy(&s.tokenizer);
}

/* A tokenizer whose merges spell its mask makes it of a text in any case: refused, with the row. */
static void test_merged_mask(void **state) {
  static const char json[] =
      "{\"version\": \"1.0\", \"truncation\": null, \"padding\": null, \"normalizer\": null,"
      "\"added_tokens\": [{\"id\": 0, \"content\": \"<mask>\", \"single_word\": false, "
      "\"lstrip\": false, \"rstrip\": false, \"normalized\": false, \"special\": true}],"
      "\"pre_tokenizer\": null, \"post_processor\": null, \"decoder\": null, \"model\": {"
      "\"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, "
      "\"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, \"fuse_unk\": false, "
      "\"vocab\": {\"<mask>\": 0, \"<\": 1, \"m\": 2, \"a\": 3, \"s\": 4, \"k\": 5, \">\": 6, "
      "\"<m\": 7, \"as\": 8, \"<mas\": 9, \"k>\": 10, \" \": 11, \".\": 12, \"t\": 13, "
      "\"h\": 14, \"e\": 15}, "
      "\"merges\": [\"< m\", \"a s\", \"<m as\", \"k >\", \"<mas k>\"]}}";
  setup s = {0};
  OK(cz_tokenizer_parse(&s.tokenizer, json, sizeof json - 1, "merged.json"));
  const char *fields[] = {"<mask", "a<mask>"};
  static const char file[] = "fields: {a: a, b: b}\nlabels: [x, y]\nwords: {x: m, y: k}\n"
                             "patterns: ['{mask} {a} {b}']\n";
  OK(cz_patterns_parse(&s.file, "p.yaml", file, sizeof file - 1, NULL));
  OK(cz_prompts_create_for(&s.prompts, s.file, s.tokenizer, 32, CZ_READS_PROMPTS));
  OK(cz_prompt_texts_create(&s.texts, s.prompts));
  FAILS(cz_prompt_texts_add(s.texts, &(cz_record){.fields = fields, .label = -1, .row = 9}),
        CZ_EINVAL, "makes its special token '<mask>' of a text");
  assert_non_null(strstr(cz_error_message(), "row 9"));
  fields[1] = "a";
  OK(cz_prompt_texts_add(s.texts, &(cz_record){.fields = fields, .label = -1, .row = 9}));
  close_all(&s);
  cz_tokenizer_destroy(&s.tokenizer);
}

/* A tokenizer with the special token "<m>" and this model, which has it as a word too. */
static cz_tokenizer *with_mark(const char *model) {
  char json[2048];
  cz_tokenizer *t;
  snprintf(json, sizeof json,
           "{\"version\": \"1.0\", \"truncation\": null, \"padding\": null, \"normalizer\": null, "
           "\"added_tokens\": [{\"id\": 0, \"content\": \"<m>\", \"single_word\": false, "
           "\"lstrip\": false, \"rstrip\": false, \"normalized\": false, \"special\": true}], "
           "\"pre_tokenizer\": {\"type\": \"WhitespaceSplit\"}, \"post_processor\": null, "
           "\"decoder\": null, \"model\": {%s}}",
           model);
  OK(cz_tokenizer_parse(&t, json, strlen(json), "mark.json"));
  return t;
}

static void expect_ids(const cz_tokenizer *t, cz_tokenizer_scratch *scratch, bool no_special,
                       const char *text, const int32_t *ids, size_t n) {
  cz_encoding e = {0};
  const cz_encode_options o = {.text_only = true, .no_special = no_special};
  OK(cz_tokenizer_encode(t, &e, text, strlen(text), o, scratch));
  assert_int_equal(e.n, n);
  assert_memory_equal(e.ids, ids, n * sizeof *ids);
  cz_encoding_free(&e);
}

/* Models that have a special token's spelling as a word make it of a text or not, as they are
 * told, also where the cache of words has seen it the other way. */
static void test_no_special(void **state) {
  static const struct {
    const char *model;
    int32_t made[2], text[4];
    size_t n_text;
  } cases[] = {
      {"\"type\": \"WordLevel\", \"unk_token\": \"u\", "
       "\"vocab\": {\"<m>\": 0, \"a\": 1, \"u\": 2}",
       {1, 0},
       {1, 2},
       2},
      {"\"type\": \"WordPiece\", \"unk_token\": \"u\", \"continuing_subword_prefix\": \"##\", "
       "\"max_input_chars_per_word\": 100, \"vocab\": {\"<m>\": 0, \"a\": 1, \"u\": 2}",
       {1, 0},
       {1, 2},
       2},
      {"\"type\": \"Unigram\", \"unk_id\": 2, \"vocab\": [[\"<m>\", 0], [\"a\", -1], [\"u\", -1], "
       "[\"<\", -2], [\"m>\", -2]]",
       {1, 0},
       {1, 3, 4},
       3},
      {"\"type\": \"Unigram\", \"unk_id\": 2, \"vocab\": [[\"<m>\", 0], [\"a\", -1], [\"u\", -1]]",
       {1, 0},
       {1, 2},
       2}, /* three unknown characters in a row, which are no piece together */
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    cz_tokenizer *t = with_mark(cases[i].model);
    cz_tokenizer_scratch *scratch;
    OK(cz_tokenizer_scratch_create(&scratch, t));
    for (int round = 0; round < 2; round++) {
      expect_ids(t, scratch, false, "a <m>", cases[i].made, 2);
      expect_ids(t, scratch, true, "a <m>", cases[i].text, cases[i].n_text);
    }
    cz_tokenizer_scratch_destroy(&scratch);
    cz_tokenizer_destroy(&t);
  }
}

/* ---- words */

static cz_status make(setup *s, const char *words, const char *pattern, int64_t max_length) {
  char text[512];
  snprintf(text, sizeof text, "fields: {a: a}\nlabels: [x, y]\nwords: %s\npatterns: ['%s']\n",
           words, pattern);
  OK(cz_patterns_parse(&s->file, "p.yaml", text, strlen(text), NULL));
  return cz_prompts_create_for(&s->prompts, s->file, s->tokenizer, max_length, CZ_READS_PROMPTS);
}

static void refuse(size_t kind, const char *words, const char *pattern, int64_t max_length,
                   const char *message) {
  setup s = {.tokenizer = open_kind(kinds[kind])};
  FAILS(make(&s, words, pattern, max_length), CZ_EUSAGE, message);
  assert_null(s.prompts);
  close_all(&s);
  cz_tokenizer_destroy(&s.tokenizer);
}

static void test_refused_words(void **state) {
  static const char one[] = "{mask} : {a*}";
  refuse(0, "{x: goodbad, y: bad}", one, 32,
         "p.yaml:3:12: words.x: the word 'goodbad' is 3 tokens ('good', '##b', '##ad'), and the "
         "pattern has 1 mask; ");
  refuse(0, "{x: goodbad, y: bad}", one, 32, "the nearest word of one token is 'good'");
  refuse(0, "{x: goodd, y: bad}", one, 32, "the nearest word of one token is 'good'");
  refuse(1, "{x: goodd, y: bad}", one, 32, "the nearest word of one token is 'good'");
  refuse(2, "{x: goodd, y: bad}", one, 32, "the nearest word of one token is 'good'");
  refuse(0, "{x: \xe2\x98\x83, y: bad}", one, 32,
         "the word '\xe2\x98\x83' is not in the vocabulary ('[UNK]')");
  refuse(0, "{x: good, y: good}", one, 32,
         "p.yaml:3:21: words.y: the word 'good' of 'y' is also the word 'good' of 'x'");
  refuse(0, "{x: good, y: GOOD}", one, 32, "both are the same tokens");
  refuse(0, "{x: [good, great, Good], y: bad}", one, 32,
         "p.yaml:3:26: words.x.2: the word 'Good' of 'x' is given twice, once as 'good'");
  refuse(0, "{x: '[MASK]', y: bad}", one, 32, "the word '[MASK]' is a special token");
  refuse(0, "{x: '[UNK]', y: bad}", one, 32, "the word '[UNK]' is a special token");
  refuse(1, "{x: '</s>', y: bad}", one, 32, "the word '</s>' is a special token");
  refuse(0, "{x: \"\\u200b\", y: bad}", one, 32, "nothing is left of the word");
  refuse(0, "{x: goodbad, y: bad}", "{mask:2} : {a*}", 32,
         "is 3 tokens ('good', '##b', '##ad'), and the pattern has 2 masks");
}

static void test_refused_patterns(void **state) {
  static const char words[] = "{x: good, y: bad}";
  refuse(
      0, words, "it was {mask} : {a*}", 5,
      "p.yaml:4:13: patterns.0: the pattern has 6 tokens before any field is filled in (3 of its "
      "text, 1 mask, 2 special ones), and max_length is 5");
  refuse(1, words, "{a*} || {mask:2}", 5, "(0 of its text, 2 masks, 4 special ones)");
  refuse(0, words, "{mask} {a*} [MASK]", 32, "'[MASK]' in a pattern is text; the mask is written");
  refuse(0, words, "{mask} {a*}", 0, "max_length is 0, expected");
  setup s = {.tokenizer = open_kind(kinds[0])};
  static const char none[] = "fields: {a: a}\npatterns: ['{mask} {a}']\n";
  OK(cz_patterns_parse(&s.file, "p.yaml", none, strlen(none), NULL));
  FAILS(cz_prompts_create_for(&s.prompts, s.file, s.tokenizer, 32, CZ_READS_PROMPTS), CZ_EUSAGE,
        "p.yaml: no labels are declared");
  close_all(&s);
  cz_tokenizer_destroy(&s.tokenizer);
}

/* [C, W, masks], -1 where there is no word or no token. */
static void test_word_table(void **state) {
  setup s = {.tokenizer = open_kind(kinds[0])};
  const cz_tokenizer *t = s.tokenizer;
#define ID(token) cz_tokenizer_id(t, token, strlen(token))
  OK(make(&s, "{x: [good, great], y: bad}", "{mask} {a*}", 32));
  const int32_t one[] = {ID("good"), ID("great"), ID("bad"), -1};
  assert_int_equal(s.prompts->items[0].n_words, 2);
  assert_memory_equal(s.prompts->items[0].words, one, sizeof one);
  assert_false(s.prompts->leading_space);
  close_all(&s);
  OK(make(&s, "{x: good, y: [goodbad, bad]}", "{mask:3} {a*}", 32));
  const int32_t three[] = {ID("good"), -1,        -1,         -1,        -1, -1, /* x */
                           ID("good"), ID("##b"), ID("##ad"), ID("bad"), -1, -1};
  assert_memory_equal(s.prompts->items[0].words, three, sizeof three);
  close_all(&s);
  cz_tokenizer_destroy(&s.tokenizer);
  s.tokenizer = open_kind(kinds[1]);
  t = s.tokenizer;
  OK(make(&s, "{x: good, y: bad}", "{mask} {a*}", 32));
  const int32_t spaced[] = {ID("\xc4\xa0good"), ID("\xc4\xa0"
                                                   "bad")};
  assert_memory_equal(s.prompts->items[0].words, spaced, sizeof spaced);
  assert_true(s.prompts->leading_space);
#undef ID
  close_all(&s);
  cz_tokenizer_destroy(&s.tokenizer);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_library),
      cmocka_unit_test(test_one_at_a_time),
      cmocka_unit_test(test_long),
      cmocka_unit_test(test_texts),
      cmocka_unit_test(test_frame),
      cmocka_unit_test(test_refused_words),
      cmocka_unit_test(test_refused_patterns),
      cmocka_unit_test(test_word_table),
      cmocka_unit_test(test_merged_mask),
      cmocka_unit_test(test_no_special),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
