/* The pre-tokenizers: each cuts the pieces that are not added tokens into smaller ones;
 * Metaspace (metaspace.c) also rewrites them. */
#include "base/utf8.h"
#include "text/bert.h"
#include "text/byte_level.h"
#include "text/metaspace.h"
#include "text/pattern.h"

/* How a splitter finds its delimiters in one piece: fills w->matches. */
typedef cz_status (*find_fn)(const void *data, cz__work *w, const char *s, size_t n);

static cz_status add_cuts(cz__work *w, const cz__piece *p) {
  for (size_t i = 0; i < w->matches.len; i++) {
    cz__match x = w->matches.data[i];
    if (x.hit || x.begin == x.end) continue;
    size_t begin = p->begin + x.begin;
    CZ_TRY(cz__pieces_add(&w->next_pieces,
                          (cz__piece){begin, p->begin + x.end, w->flat.spans[begin].begin, -1}));
  }
  return CZ_OK;
}

static cz_status split(cz__work *w, find_fn find, const void *data, cz__behavior behavior) {
  w->next_pieces.len = 0;
  for (size_t i = 0; i < w->pieces.len; i++) {
    cz__piece p = w->pieces.data[i];
    if (p.token >= 0) {
      CZ_TRY(cz__pieces_add(&w->next_pieces, p));
      continue;
    }
    CZ_TRY(find(data, w, w->flat.bytes + p.begin, p.end - p.begin));
    cz__matches_merge(&w->matches, behavior);
    CZ_TRY(add_cuts(w, &p));
  }
  cz__work_swap_pieces(w);
  return CZ_OK;
}

static cz_status find_spaces(const void *data, cz__work *w, const char *s, size_t n) {
  return cz__class_find(cz_unicode_is_space, &w->matches, s, n);
}

static cz_status run_whitespace_split(const void *data, cz__work *w) {
  return split(w, find_spaces, NULL, CZ__REMOVED);
}

/* Runs of \w and runs of neither \w nor \s are kept, as the expression `\w+|[^\w\s]+`
 * finds them. */
static cz_status find_words(const void *data, cz__work *w, const char *s, size_t n) {
  enum { NONE, SPACE, WORD, OTHER } kind, last = NONE;
  w->matches.len = 0;
  for (size_t i = 0, k; i < n; i += k) {
    uint32_t c = cz_utf8_next(s + i, &k);
    kind = cz_unicode_is_word(c) ? WORD : cz_unicode_is_space(c) ? SPACE : OTHER;
    if (kind == last) {
      w->matches.data[w->matches.len - 1].end = i + k;
    } else {
      CZ_TRY(cz__matches_add(&w->matches, i, i + k, kind == SPACE));
    }
    last = kind;
  }
  return CZ_OK;
}

static cz_status run_whitespace(const void *data, cz__work *w) {
  return split(w, find_words, NULL, CZ__REMOVED);
}

typedef struct digits {
  bool individual;
} digits;

static cz_status parse_digits(void **data, cz_arena *arena, const json_t *o,
                              const cz_json_place *at) {
  digits *d;
  CZ_TRY(cz_json_only(o, at, CZ__KEYS("individual_digits")));
  CZ_TRY(cz_arena_alloc(arena, &d, 1, sizeof *d));
  *data = d;
  return cz_json_get_bool(&d->individual, o, at, "individual_digits");
}

static cz_status find_digits(const void *data, cz__work *w, const char *s, size_t n) {
  return cz__class_find(cz_unicode_is_numeric, &w->matches, s, n);
}

static cz_status run_digits(const void *data, cz__work *w) {
  const digits *d = data;
  return split(w, find_digits, NULL, d->individual ? CZ__ISOLATED : CZ__CONTIGUOUS);
}

static const char *const behaviors[] = {"Removed", "Isolated", "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous"};

static cz_status parse_behavior(cz__behavior *out, const json_t *o, const cz_json_place *at) {
  int choice;
  CZ_TRY(cz_json_get_choice(&choice, o, at, "behavior", behaviors,
                            sizeof behaviors / sizeof *behaviors));
  *out = (cz__behavior)choice;
  return CZ_OK;
}

typedef struct punctuation {
  cz__behavior behavior;
} punctuation;

static cz_status parse_punctuation(void **data, cz_arena *arena, const json_t *o,
                                   const cz_json_place *at) {
  punctuation *p;
  CZ_TRY(cz_json_only(o, at, CZ__KEYS("behavior")));
  CZ_TRY(cz_arena_alloc(arena, &p, 1, sizeof *p));
  *data = p;
  p->behavior = CZ__ISOLATED; /* the format's default */
  return json_object_get(o, "behavior") ? parse_behavior(&p->behavior, o, at) : CZ_OK;
}

static cz_status find_punctuation(const void *data, cz__work *w, const char *s, size_t n) {
  return cz__class_find(cz_unicode_is_punctuation, &w->matches, s, n);
}

static cz_status run_punctuation(const void *data, cz__work *w) {
  return split(w, find_punctuation, NULL, ((const punctuation *)data)->behavior);
}

typedef struct splitter {
  cz__pattern pattern;
  cz__behavior behavior;
  bool invert;
} splitter;

static void release_split(void *data) {
  if (data) cz__pattern_release(&((splitter *)data)->pattern);
}

static cz_status parse_split(void **data, cz_arena *arena, const json_t *o,
                             const cz_json_place *at) {
  splitter *s;
  CZ_TRY(cz_json_only(o, at, CZ__KEYS("pattern", "behavior", "invert")));
  CZ_TRY(cz_arena_alloc(arena, &s, 1, sizeof *s));
  CZ_TRY(parse_behavior(&s->behavior, o, at));
  CZ_TRY(cz_json_get_bool(&s->invert, o, at, "invert"));
  *data = s;
  return cz__pattern_parse(&s->pattern, arena, o, at);
}

static cz_status find_split(const void *data, cz__work *w, const char *s, size_t n) {
  const splitter *p = data;
  CZ_TRY(cz__pattern_find(&p->pattern, &w->matches, s, n, w));
  for (size_t i = 0; p->invert && i < w->matches.len; i++)
    w->matches.data[i].hit = !w->matches.data[i].hit;
  return CZ_OK;
}

static cz_status run_split(const void *data, cz__work *w) {
  return split(w, find_split, data, ((const splitter *)data)->behavior);
}

static const cz__part_row rows[] = {
    {"BertPreTokenizer", cz__bert_split_parse, cz__bert_split_run, NULL},
    {"Metaspace", cz__metaspace_parse, cz__metaspace_split, NULL},
    {"WhitespaceSplit", NULL, run_whitespace_split, NULL},
    {"Whitespace", NULL, run_whitespace, NULL},
    {"Split", parse_split, run_split, release_split},
    {"Digits", parse_digits, run_digits, NULL},
    {"Punctuation", parse_punctuation, run_punctuation, NULL},
    {"ByteLevel", cz__byte_level_parse, cz__byte_level_split, NULL},
};

const cz__part_table cz__pre_tokenizers = {"pre-tokenizer", "pretokenizers", rows,
                                           sizeof rows / sizeof *rows};
