/* Label words, proved against a vocabulary: what the model scores at the mask is an id, so a word
 * that is none, or that is two labels' at once, would be scored as something else. */
#include "base/nearest.h"
#include "prompts/encode.h"

#include <stdlib.h>
#include <string.h>

/* The words that are one token each. */
typedef struct vocabulary {
  cz_arena *arena;
  const char **words;
  size_t n, cap;
} vocabulary;

static cz_status encode_word(const cz_prompts *p, cz_encoding *e, const char *word,
                             cz_tokenizer_scratch *scratch) {
  cz_buf text = {0};
  cz_status st = cz_buf_add(&text, word, strlen(word));
  if (st == CZ_OK) st = cz__prompt_encode(p, e, &text, scratch);
  cz_buf_free(&text);
  return st;
}

/* Adds the token ID if it is a word: its text, tokenised, is that token again. */
static cz_status add_word(vocabulary *v, const cz_prompts *p, int32_t id, cz_encoding *e,
                          cz_tokenizer_scratch *scratch) {
  cz_buf text = {0};
  char *copy;
  cz_status st = cz_tokenizer_decode(p->tokenizer, &text, &id, 1, true);
  size_t skip = st == CZ_OK && text.len ? strspn(text.data, " ") : 0;
  if (st == CZ_OK && text.len > skip) st = encode_word(p, e, text.data + skip, scratch);
  if (st == CZ_OK && text.len > skip && e->n == 1 && e->ids[0] == id) {
    st = cz_arena_strdup(v->arena, &copy, text.data + skip);
    if (st == CZ_OK) st = cz_grow(&v->words, &v->cap, v->n + 1, sizeof *v->words);
    if (st == CZ_OK) v->words[v->n++] = copy;
  }
  cz_buf_free(&text);
  return st;
}

/* The longest word of at least three bytes with which WORD begins, or null. */
static const char *longest_beginning(const vocabulary *v, const char *word) {
  const char *best = NULL;
  size_t length = 2;
  for (size_t i = 0; i < v->n; i++) {
    size_t n = strlen(v->words[i]);
    if (n > length && !strncmp(word, v->words[i], n)) best = v->words[i], length = n;
  }
  return best;
}

/* "; the nearest word of one token is 'X'", or nothing. All of the vocabulary is looked through,
 * which takes a moment and happens once, before the program ends. */
static cz_status nearest_word(cz_buf *out, const cz_prompts *p, const char *word, cz_encoding *e,
                              cz_tokenizer_scratch *scratch) {
  vocabulary v = {0};
  const int32_t size = cz_tokenizer_get_facts(p->tokenizer)->size;
  cz_status st = cz_arena_create(&v.arena, "words of one token");
  for (int32_t id = 0; id < size && st == CZ_OK; id++) st = add_word(&v, p, id, e, scratch);
  if (st == CZ_OK) {
    const char *near = cz_nearest(word, v.words, v.n);
    if (!near) near = longest_beginning(&v, word);
    st = near ? cz_buf_addf(out, "; the nearest word of one token is '%s'", near)
              : cz_buf_add(out, "", 0);
  }
  free(v.words);
  cz_arena_destroy(&v.arena);
  return st;
}

static cz_status list_tokens(cz_buf *out, const cz_tokenizer *t, const cz_encoding *e) {
  for (size_t i = 0; i < e->n; i++) {
    size_t n = 0;
    const char *token = cz_tokenizer_token(t, e->ids[i], &n);
    CZ_TRY(cz_buf_addf(out, "%s'%.*s'", i ? ", " : "", (int)n, token));
  }
  return CZ_OK;
}

/* WORD, whose ids are in E, is UNKNOWN to the vocabulary, or too long for the masks. */
static cz_status refuse_word(const cz_prompts *p, const cz_config_node *node, const char *word,
                             bool unknown, int32_t masks, cz_encoding *e,
                             cz_tokenizer_scratch *scratch) {
  cz_buf tokens = {0}, near = {0};
  const size_t n = e->n;
  cz_status st = list_tokens(&tokens, p->tokenizer, e);
  if (st == CZ_OK) st = nearest_word(&near, p, word, e, scratch);
  if (st == CZ_OK && unknown)
    st = cz_config_error(node, "the word '%s' is not in the vocabulary (%s)%s", word, tokens.data,
                         near.data);
  else if (st == CZ_OK)
    st = cz_config_error(node, "the word '%s' is %zu tokens (%s), and the pattern has %d mask%s%s",
                         word, n, tokens.data, masks, masks > 1 ? "s" : "", near.data);
  cz_buf_free(&tokens);
  cz_buf_free(&near);
  return st;
}

/** Whether the token ID may be an answer: it is not special, nor the unknown one. */
bool cz_prompts_may_answer(const cz_prompts *prompts, int32_t id) {
  const cz_tokenizer_facts *f = cz_tokenizer_get_facts(prompts->tokenizer);
  return id >= 0 && id != f->unk && !cz__prompt_is_special(f, id);
}

/* What has a meaning of its own to the model answers no question; nor does the unknown token. */
static bool is_special(const cz_prompts *p, const char *word) {
  const int32_t id = cz_tokenizer_id(p->tokenizer, word, strlen(word));
  return id >= 0 && !cz_prompts_may_answer(p, id);
}

static cz_status check_word(const cz_prompts *p, const cz_config_node *node, const char *word,
                            int32_t masks, cz_encoding *e, cz_tokenizer_scratch *scratch) {
  const int32_t unk = cz_tokenizer_get_facts(p->tokenizer)->unk;
  bool unknown = false;
  if (is_special(p, word))
    return cz_config_error(node, "the word '%s' is a special token, which is no answer", word);
  CZ_TRY(encode_word(p, e, word, scratch));
  if (e->n == 0) return cz_config_error(node, "nothing is left of the word '%s' as tokens", word);
  for (size_t i = 0; i < e->n; i++) unknown |= unk >= 0 && e->ids[i] == unk;
  if (!unknown && e->n <= (size_t)masks) return CZ_OK;
  return refuse_word(p, node, word, unknown, masks, e, scratch);
}

/* WORD, the J-th of label I, has the ids at ROW, of MASKS each; none before it may have them. */
static cz_status check_new(const cz_prompts *p, const cz_prompt *prompt, const int32_t *table,
                           size_t i, size_t j) {
  const cz_label_words *words = prompt->pattern->words;
  const size_t masks = (size_t)prompt->pattern->masks, width = prompt->n_words * masks;
  const int32_t *row = table + i * width + j * masks;
  for (size_t a = 0; a <= i; a++)
    for (size_t b = 0; b < (a == i ? j : words[a].n); b++) {
      if (memcmp(table + a * width + b * masks, row, masks * sizeof *row)) continue;
      if (a == i)
        return cz_config_error(
            words[i].nodes[j], "the word '%s' of '%s' is given twice%s%s%s", words[i].words[j],
            p->file->labels[i], strcmp(words[i].words[j], words[a].words[b]) ? ", once as '" : "",
            strcmp(words[i].words[j], words[a].words[b]) ? words[a].words[b] : "",
            strcmp(words[i].words[j], words[a].words[b]) ? "'" : "");
      return cz_config_error(words[i].nodes[j],
                             "the word '%s' of '%s' is also the word '%s' of '%s': both are the "
                             "same tokens",
                             words[i].words[j], p->file->labels[i], words[a].words[b],
                             p->file->labels[a]);
    }
  return CZ_OK;
}

/** Fills in PROMPT's words: ids of every word of every label, unless records bring answers along.
 * CZ_EUSAGE that points at the word: it is not in the vocabulary, has more tokens than the pattern
 * has masks, is a special token, or has the same ids as another. E and SCRATCH are work space. */
cz_status cz__prompt_words(cz_prompts *p, cz_prompt *prompt, cz_encoding *e,
                           cz_tokenizer_scratch *scratch) {
  const cz_pattern *pattern = prompt->pattern;
  const size_t labels = p->file->n_labels, masks = (size_t)pattern->masks;
  int32_t *table;
  if (p->file->choices || p->file->candidates) {
    prompt->choices = true;
    prompt->n_words = 1;
    return CZ_OK;
  }
  for (size_t i = 0; i < labels; i++)
    if (pattern->words[i].n > prompt->n_words) prompt->n_words = pattern->words[i].n;
  const size_t cells = labels * prompt->n_words * masks;
  CZ_TRY(cz_arena_alloc(p->arena, &table, cells, sizeof *table));
  for (size_t k = 0; k < cells; k++) table[k] = -1;
  for (size_t i = 0; i < labels; i++)
    for (size_t j = 0; j < pattern->words[i].n; j++) {
      const cz_config_node *node = pattern->words[i].nodes[j];
      CZ_TRY(check_word(p, node, pattern->words[i].words[j], pattern->masks, e, scratch));
      memcpy(table + (i * prompt->n_words + j) * masks, e->ids, e->n * sizeof *table);
      CZ_TRY(check_new(p, prompt, table, i, j));
    }
  prompt->words = table;
  return CZ_OK;
}
