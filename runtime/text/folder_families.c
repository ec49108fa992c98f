/* What transformers makes of each family's old files (5.23): the parts around a vocabulary, and
 * the post-processor. Where it is at odds with the files that were published with the models, those
 * count: `<mask>` and ALBERT's `[MASK]` take the space before them, and ALBERT's pieces of a
 * digit and a comma are made unlikely. */
#include "base/fs.h"
#include "text/charsmap.h"
#include "text/folder.h"
#include "text/sentencepiece.h"

#include <stdio.h>
#include <string.h>

#define MARK "\xE2\x96\x81"

static cz_status set(cz__folder *f, const char *part, json_t *value) {
  return cz_json_set(f->root, part, value);
}

/* A setting, or what the class has without it. */
static cz_status setting(bool *out, const cz__folder *f, const char *key, bool otherwise) {
  *out = otherwise;
  return json_object_get(f->config.root, key)
             ? cz_json_get_bool(out, f->config.root, &f->config.at, key)
             : CZ_OK;
}

static int64_t id_of(const cz__folder *f, cz__role role) {
  return json_integer_value(json_object_get(f->ids, f->roles[role]));
}

static cz_status need_roles(const cz__folder *f, const cz__role *roles, size_t n) {
  static const char *const names[CZ__ROLES] = {"bos", "eos", "unk", "sep", "pad", "cls", "mask"};
  for (size_t i = 0; i < n; i++)
    if (!f->roles[roles[i]])
      return cz_json_fail(&f->config.at, NULL, "a tokenizer of %s needs a %s_token, not null",
                          f->family->name, names[roles[i]]);
  return CZ_OK;
}

/* An item of a template: a special token, or one of the two texts. */
static json_t *special(const char *token, int type) {
  return json_pack("{s:{s:s,s:i}}", "SpecialToken", "id", token, "type_id", type);
}

static json_t *text(const char *name, int type) {
  return json_pack("{s:{s:s,s:i}}", "Sequence", "id", name, "type_id", type);
}

/* {token: {id, ids, tokens}} of the roles, added to ALL; null without memory. */
static json_t *template_ids(json_t *all, const cz__folder *f, const cz__role *roles, size_t n) {
  for (size_t i = 0; i < n && all; i++) {
    const char *token = f->roles[roles[i]];
    json_t *entry = json_pack("{s:s,s:[I],s:[s]}", "id", token, "ids",
                              (json_int_t)id_of(f, roles[i]), "tokens", token);
    if (json_object_set_new(all, token, entry) == 0) continue;
    json_decref(all);
    all = NULL;
  }
  return all;
}

static cz_status set_template(cz__folder *f, json_t *single, json_t *pair, json_t *ids) {
  return set(f, "post_processor",
             json_pack("{s:s,s:o,s:o,s:o}", "type", "TemplateProcessing", "single", single, "pair",
                       pair, "special_tokens", ids));
}

/* [CLS] A [SEP] and [CLS] A [SEP] B [SEP], the second text and what is behind it of type 1. */
static cz_status bert_post(cz__folder *f) {
  const cz__role roles[] = {CZ__CLS, CZ__SEP};
  CZ_TRY(need_roles(f, roles, 2));
  const char *cls = f->roles[CZ__CLS], *sep = f->roles[CZ__SEP];
  return set_template(f, json_pack("[o,o,o]", special(cls, 0), text("A", 0), special(sep, 0)),
                      json_pack("[o,o,o,o,o]", special(cls, 0), text("A", 0), special(sep, 0),
                                text("B", 1), special(sep, 1)),
                      template_ids(json_object(), f, roles, 2));
}

static cz_status bert_model(cz__folder *f) {
  bool lower, chinese;
  json_t *strip = json_object_get(f->config.root, "strip_accents");
  const cz__role unk = CZ__UNK;
  CZ_TRY(need_roles(f, &unk, 1));
  CZ_TRY(setting(&lower, f, "do_lower_case", true));
  CZ_TRY(setting(&chinese, f, "tokenize_chinese_chars", true));
  if (strip && !json_is_boolean(strip) && !json_is_null(strip))
    return cz_json_expected(&f->config.at, "strip_accents", strip, "true, false or null");
  CZ_TRY(cz__folder_vocab_txt(&f->ids, f, f->family->files[0]));
  CZ_TRY(
      set(f, "normalizer",
          json_pack("{s:s,s:b,s:b,s:O?,s:b}", "type", "BertNormalizer", "clean_text", 1,
                    "handle_chinese_chars", chinese, "strip_accents", strip, "lowercase", lower)));
  CZ_TRY(set(f, "pre_tokenizer", json_pack("{s:s}", "type", "BertPreTokenizer")));
  CZ_TRY(set(f, "decoder",
             json_pack("{s:s,s:s,s:b}", "type", "WordPiece", "prefix", "##", "cleanup", 1)));
  return set(f, "model",
             json_pack("{s:s,s:s,s:s,s:i,s:o}", "type", "WordPiece", "unk_token", f->roles[CZ__UNK],
                       "continuing_subword_prefix", "##", "max_input_chars_per_word", 100, "vocab",
                       json_copy(f->ids)));
}

static json_t *byte_level(bool prefix) {
  return json_pack("{s:s,s:b,s:b,s:b}", "type", "ByteLevel", "add_prefix_space", prefix,
                   "trim_offsets", 1, "use_regex", 1);
}

static cz_status gpt2_model(cz__folder *f) {
  char path[4096];
  bool prefix;
  json_t *merges;
  CZ_TRY(setting(&prefix, f, "add_prefix_space", false));
  CZ_TRY(cz_fs_join(path, sizeof path, f->path, f->family->files[0]));
  CZ_TRY(cz_json_read(&f->ids, path));
  if (!json_is_object(f->ids))
    return CZ_FAIL(CZ_EINVAL, "%s: expected an object {token: id}", path);
  cz_status st = cz__folder_merges_txt(&merges, f, f->family->files[1]);
  if (st == CZ_OK)
    st = set(f, "model",
             json_pack("{s:s,s:n,s:n,s:s,s:s,s:b,s:b,s:b,s:o,s:O}", "type", "BPE", "dropout",
                       "unk_token", "continuing_subword_prefix", "", "end_of_word_suffix", "",
                       "fuse_unk", 0, "byte_fallback", 0, "ignore_merges", 0, "vocab",
                       json_copy(f->ids), "merges", merges));
  json_decref(merges);
  CZ_TRY(st);
  CZ_TRY(set(f, "pre_tokenizer", byte_level(prefix)));
  return set(f, "decoder", byte_level(true));
}

/* The texts up to LAST, each with the tokens that are WANTED around it; null without memory. */
static json_t *gpt2_layout(const cz__folder *f, const bool wanted[2], int last) {
  static const char *const names[] = {"A", "B"};
  json_t *list = json_array();
  int failed = !list;
  for (int type = 0; type <= last && !failed; type++) {
    if (wanted[0]) failed |= json_array_append_new(list, special(f->roles[CZ__BOS], type));
    failed |= json_array_append_new(list, text(names[type], type));
    if (wanted[1]) failed |= json_array_append_new(list, special(f->roles[CZ__EOS], type));
  }
  if (!failed) return list;
  json_decref(list);
  return NULL;
}

/* GPT-2 adds nothing around a text unless it is asked to. */
static cz_status gpt2_post(cz__folder *f) {
  static const cz__role ends[] = {CZ__BOS, CZ__EOS};
  static const char *const keys[] = {"add_bos_token", "add_eos_token"};
  bool wanted[2];
  cz__role used[2];
  size_t n = 0;
  for (int i = 0; i < 2; i++) {
    CZ_TRY(setting(&wanted[i], f, keys[i], false));
    if (wanted[i]) used[n++] = ends[i];
  }
  CZ_TRY(need_roles(f, used, n));
  return set_template(f, gpt2_layout(f, wanted, 0), gpt2_layout(f, wanted, 1),
                      template_ids(json_object(), f, used, n));
}

static cz_status roberta_post(cz__folder *f) {
  const cz__role roles[] = {CZ__SEP, CZ__CLS};
  bool prefix, trim;
  CZ_TRY(need_roles(f, roles, 2));
  CZ_TRY(setting(&prefix, f, "add_prefix_space", false));
  CZ_TRY(setting(&trim, f, "trim_offsets", true));
  return set(f, "post_processor",
             json_pack("{s:s,s:[s,I],s:[s,I],s:b,s:b}", "type", "RobertaProcessing", "sep",
                       f->roles[CZ__SEP], (json_int_t)id_of(f, CZ__SEP), "cls", f->roles[CZ__CLS],
                       (json_int_t)id_of(f, CZ__CLS), "trim_offsets", trim, "add_prefix_space",
                       prefix));
}

/* A SentencePiece model while it becomes a Unigram. */
typedef struct pieces {
  cz_buf bytes;
  cz__sp_model model;
  json_t *vocab; /* [piece, score] */
} pieces;

static void close_pieces(pieces *p) {
  cz_buf_free(&p->bytes);
  cz__sp_free(&p->model);
  json_decref(p->vocab);
}

static cz_status add_piece(cz__folder *f, pieces *p, const char *s, size_t n, double score) {
  json_int_t id = (json_int_t)json_array_size(p->vocab);
  CZ_TRY(cz_json_add(p->vocab, json_pack("[s%,f]", s, n, score)));
  return json_object_setn_new(f->ids, s, n, json_integer(id)) == 0
             ? CZ_OK
             : CZ_FAIL(CZ_ENOMEM, "no memory for a vocabulary");
}

static cz_status open_pieces(cz__folder *f, pieces *p) {
  char path[4096];
  p->vocab = json_array();
  f->ids = json_object();
  CZ_TRY(cz_fs_join(path, sizeof path, f->path, f->family->files[0]));
  CZ_TRY(cz_fs_read(path, &p->bytes));
  CZ_TRY(cz__sp_parse(&p->model, p->bytes.data ? p->bytes.data : "", p->bytes.len, path));
  if (p->model.kind != 1)
    return CZ_FAIL(CZ_EINVAL, "%s: a SentencePiece model of type %llu; %s has type 1, Unigram",
                   path, (unsigned long long)p->model.kind, f->family->name);
  for (size_t i = 0; i < p->model.n; i++) {
    const cz__sp_piece *x = &p->model.pieces[i];
    if (x->type != CZ__SP_CONTROL && x->type != CZ__SP_USER_DEFINED) continue;
    CZ_TRY(cz_json_add(f->marks, json_pack("[s%,b]", x->text, x->n, x->type == CZ__SP_CONTROL)));
  }
  return CZ_OK;
}

/* The pieces from FIRST on, with their scores; ALBERT's numbers must not end in a comma. */
static cz_status add_pieces(cz__folder *f, pieces *p, size_t first, bool numbers_end) {
  for (size_t i = first; i < p->model.n; i++) {
    const cz__sp_piece *x = &p->model.pieces[i];
    bool comma = x->n >= 2 && x->text[x->n - 1] == ',' && x->text[x->n - 2] >= '0' &&
                 x->text[x->n - 2] <= '9';
    CZ_TRY(add_piece(f, p, x->text, x->n, (double)x->score - (numbers_end && comma ? 100 : 0)));
  }
  return CZ_OK;
}

static cz_status set_map(json_t *list, const cz__sp_model *m) {
  cz_buf text = {0};
  if (!m->map) return CZ_OK;
  cz_status st = cz__base64_encode(&text, m->map, m->map_n);
  if (st == CZ_OK)
    st = cz_json_add(list, json_pack("{s:s,s:s%}", "type", "Precompiled", "precompiled_charsmap",
                                     text.data, text.len));
  cz_buf_free(&text);
  return st;
}

/* The parts that Unigram families have in common. */
static cz_status set_unigram(cz__folder *f, const pieces *p, int64_t unk) {
  bool prefix;
  CZ_TRY(setting(&prefix, f, "add_prefix_space", true));
  json_t *mark = json_pack("{s:s,s:s,s:s,s:b}", "type", "Metaspace", "replacement", MARK,
                           "prepend_scheme", prefix ? "always" : "never", "split", 1);
  cz_status st = set(f, "pre_tokenizer",
                     json_pack("{s:s,s:[{s:s},O]}", "type", "Sequence", "pretokenizers", "type",
                               "WhitespaceSplit", mark));
  if (st == CZ_OK) st = set(f, "decoder", json_incref(mark));
  json_decref(mark);
  CZ_TRY(st);
  return set(f, "model",
             json_pack("{s:s,s:I,s:O,s:b}", "type", "Unigram", "unk_id", (json_int_t)unk, "vocab",
                       p->vocab, "byte_fallback", 0));
}

/* The character map alone, or null. */
static cz_status set_map_alone(cz__folder *f, const pieces *p) {
  json_t *list = json_array(), *map;
  cz_status st = set_map(list, &p->model);
  map = json_array_get(list, 0);
  if (st == CZ_OK) st = set(f, "normalizer", map ? json_incref(map) : json_null());
  json_decref(list);
  return st;
}

/* T5's sentinels stand behind the pieces, the last one first. */
static cz_status add_sentinels(cz__folder *f, pieces *p) {
  int64_t n = 100;
  if (json_object_get(f->config.root, "extra_ids"))
    CZ_TRY(cz_json_get_int(&n, f->config.root, &f->config.at, "extra_ids", 0, 1 << 20));
  for (int64_t i = n - 1; i >= 0; i--) {
    char name[40];
    snprintf(name, sizeof name, "<extra_id_%lld>", (long long)i);
    CZ_TRY(add_piece(f, p, name, strlen(name), 0));
    CZ_TRY(cz_json_add(f->marks, json_pack("[s,b]", name, 1)));
  }
  return CZ_OK;
}

static cz_status t5_model(cz__folder *f) {
  pieces p = {0};
  cz_status st;
  CZ_GO(st, open_pieces(f, &p), done);
  CZ_GO(st, add_pieces(f, &p, 0, false), done);
  CZ_GO(st, add_sentinels(f, &p), done);
  CZ_GO(st, set_map_alone(f, &p), done);
  CZ_GO(st, set_unigram(f, &p, (int64_t)p.model.unk_id), done);
done:
  close_pieces(&p);
  return st;
}

/* A </s> and A </s> B </s>. */
static cz_status t5_post(cz__folder *f) {
  const cz__role eos = CZ__EOS;
  CZ_TRY(need_roles(f, &eos, 1));
  const char *end = f->roles[CZ__EOS];
  return set_template(
      f, json_pack("[o,o]", text("A", 0), special(end, 0)),
      json_pack("[o,o,o,o]", text("A", 0), special(end, 0), text("B", 0), special(end, 0)),
      template_ids(json_object(), f, &eos, 1));
}

/* The ids of fairseq: its own four, the pieces behind SentencePiece's three, the mask. */
static cz_status xlmr_model(cz__folder *f) {
  static const cz__role first[] = {CZ__BOS, CZ__PAD, CZ__EOS, CZ__UNK}, mask = CZ__MASK;
  pieces p = {0};
  cz_status st;
  CZ_GO(st, need_roles(f, first, 4), done);
  CZ_GO(st, need_roles(f, &mask, 1), done);
  CZ_GO(st, open_pieces(f, &p), done);
  for (int i = 0; i < 4; i++)
    CZ_GO(st, add_piece(f, &p, f->roles[first[i]], strlen(f->roles[first[i]]), 0), done);
  CZ_GO(st, add_pieces(f, &p, 3, false), done);
  CZ_GO(st, add_piece(f, &p, f->roles[mask], strlen(f->roles[mask]), 0), done);
  CZ_GO(st, set_map_alone(f, &p), done);
  CZ_GO(st, set_unigram(f, &p, 3), done);
done:
  close_pieces(&p);
  return st;
}

/* <s> A </s> and <s> A </s> </s> B </s>, all of type 0. */
static cz_status xlmr_post(cz__folder *f) {
  const cz__role roles[] = {CZ__BOS, CZ__EOS};
  const char *begin = f->roles[CZ__BOS], *end = f->roles[CZ__EOS];
  return set_template(f, json_pack("[o,o,o]", special(begin, 0), text("A", 0), special(end, 0)),
                      json_pack("[o,o,o,o,o,o]", special(begin, 0), text("A", 0), special(end, 0),
                                special(end, 0), text("B", 0), special(end, 0)),
                      template_ids(json_object(), f, roles, 2));
}

static cz_status albert_normalizer(cz__folder *f, const pieces *p) {
  static const char *const quotes[] = {"``", "''"};
  bool lower, keep;
  CZ_TRY(setting(&lower, f, "do_lower_case", true));
  CZ_TRY(setting(&keep, f, "keep_accents", false));
  json_t *list = json_array();
  cz_status st =
      set(f, "normalizer", json_pack("{s:s,s:o}", "type", "Sequence", "normalizers", list));
  for (int i = 0; i < 2 && st == CZ_OK; i++)
    st = cz_json_add(list, json_pack("{s:s,s:{s:s},s:s}", "type", "Replace", "pattern", "String",
                                     quotes[i], "content", "\""));
  if (st == CZ_OK && !keep) st = cz_json_add(list, json_pack("{s:s}", "type", "NFKD"));
  if (st == CZ_OK && !keep) st = cz_json_add(list, json_pack("{s:s}", "type", "StripAccents"));
  if (st == CZ_OK && lower) st = cz_json_add(list, json_pack("{s:s}", "type", "Lowercase"));
  return st == CZ_OK ? set_map(list, &p->model) : st;
}

static cz_status albert_model(cz__folder *f) {
  pieces p = {0};
  cz_status st;
  CZ_GO(st, open_pieces(f, &p), done);
  CZ_GO(st, add_pieces(f, &p, 0, true), done);
  CZ_GO(st, albert_normalizer(f, &p), done);
  CZ_GO(st, set_unigram(f, &p, (int64_t)p.model.unk_id), done);
done:
  close_pieces(&p);
  return st;
}

#define END_OF_TEXT "<|endoftext|>"

const cz__family cz__families[] = {
    {"bert",
     {"distilbert"},
     {"BertTokenizer", "DistilBertTokenizer"},
     {"vocab.txt"},
     {NULL, NULL, "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"},
     false,
     bert_model,
     bert_post},
    {"roberta",
     {"bart"},
     {"RobertaTokenizer", "BartTokenizer"},
     {"vocab.json", "merges.txt"},
     {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"},
     true,
     gpt2_model,
     roberta_post},
    {"gpt2",
     {NULL},
     {"GPT2Tokenizer"},
     {"vocab.json", "merges.txt"},
     {END_OF_TEXT, END_OF_TEXT, END_OF_TEXT, NULL, NULL, NULL, NULL},
     false,
     gpt2_model,
     gpt2_post},
    {"xlm-roberta",
     {NULL},
     {"XLMRobertaTokenizer"},
     {"sentencepiece.bpe.model"},
     {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"},
     true,
     xlmr_model,
     xlmr_post},
    {"albert",
     {NULL},
     {"AlbertTokenizer"},
     {"spiece.model"},
     {"[CLS]", "[SEP]", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"},
     true,
     albert_model,
     bert_post},
    {"t5",
     {"mt5"},
     {"T5Tokenizer", "MT5Tokenizer"},
     {"spiece.model"},
     {NULL, "</s>", "<unk>", NULL, "<pad>", NULL, NULL},
     false,
     t5_model,
     t5_post},
};
const size_t cz__n_families = sizeof cz__families / sizeof *cz__families;
