/* Texts and pairs of texts through random post-processors and truncations: ids, types and offsets
 * equal the Hugging Face library's; the same layouts around ids; what is refused. */
#include "text/common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct one {
  cz_tokenizer *t;
  cz_tokenizer_scratch *scratch;
  cz_encoding e;
  const json_t *fields;
} one;

/* Opens a tokenizer of FIELDS, with the model of the fixture ROOT where they have none. */
static void open_one(one *o, const json_t *fields, const json_t *root) {
  json_t *whole = json_deep_copy(fields);
  json_object_set_new(whole, "version", json_string("1.0"));
  if (!json_object_get(whole, "model"))
    json_object_set(whole, "model", json_object_get(root, "model"));
  char *text = json_dumps(whole, JSON_COMPACT);
  *o = (one){.fields = fields};
  OK(cz_tokenizer_parse(&o->t, text, strlen(text), "pairs"));
  OK(cz_tokenizer_scratch_create(&o->scratch, o->t));
  free(text);
  json_decref(whole);
}

static void close_one(one *o) {
  cz_encoding_free(&o->e);
  cz_tokenizer_scratch_destroy(&o->scratch);
  cz_tokenizer_destroy(&o->t);
}

static cz_status encode(one *o, const json_t *c, cz_encode_options options) {
  const json_t *a = json_array_get(c, 0), *b = json_array_get(c, 1);
  if (json_is_null(b))
    return cz_tokenizer_encode(o->t, &o->e, json_string_value(a), json_string_length(a), options,
                               o->scratch);
  return cz_tokenizer_encode_pair(o->t, &o->e, json_string_value(a), json_string_length(a),
                                  json_string_value(b), json_string_length(b), options, o->scratch);
}

static cz_encode_options options_of(const json_t *flags) {
  return (cz_encode_options){.add_special = json_is_true(json_array_get(flags, 0)),
                             .text_only = json_is_true(json_array_get(flags, 1)),
                             .truncate = json_is_true(json_array_get(flags, 2)),
                             .characters = true};
}

/* The encoding as the fixture writes one: [ids, types, offsets]. */
static json_t *written(const cz_encoding *e) {
  json_t *ids = json_array(), *types = json_array(), *offsets = json_array();
  for (size_t i = 0; i < e->n; i++) {
    json_array_append_new(ids, json_integer(e->ids[i]));
    json_array_append_new(types, json_integer(e->types[i]));
    json_array_append_new(offsets,
                          json_pack("[i, i]", (int)e->offsets[i].begin, (int)e->offsets[i].end));
  }
  return json_pack("[o, o, o]", ids, types, offsets);
}

static void differ(const one *o, const json_t *c, const json_t *got) {
  char *fields = json_dumps(o->fields, JSON_COMPACT), *want = json_dumps(c, JSON_COMPACT),
       *have = json_dumps(got, JSON_COMPACT);
  fail_msg("%s\n%s, but got\n%s", fields, want, have);
}

/* The text WANT that N ids stand for. */
static void check_decoded(one *o, const int32_t *ids, size_t n, const json_t *want,
                          const json_t *c) {
  cz_buf text = {0};
  OK(cz_tokenizer_decode(o->t, &text, ids, n, false));
  json_t *got = json_stringn(text.data ? text.data : "", text.len);
  if (!json_equal(got, want)) differ(o, c, got);
  json_decref(got);
  cz_buf_free(&text);
}

static void check_case(one *o, const json_t *c, size_t *refused) {
  const json_t *want = json_array_get(c, 3);
  cz_status st = encode(o, c, options_of(json_array_get(c, 2)));
  if (json_is_null(want)) {
    FAILS(st, CZ_EINVAL, "the tokenizer's truncation is");
    ++*refused;
    return;
  }
  OK(st);
  json_t *got = written(&o->e);
  if (!json_equal(got, want)) differ(o, c, got);
  json_decref(got);
  if (json_array_size(c) > 4) check_decoded(o, o->e.ids, o->e.n, json_array_get(c, 4), c);
}

/* [ids, text] */
static void check_decode(one *o, const json_t *c) {
  int32_t ids[16];
  const json_t *list = json_array_get(c, 0);
  assert_true(json_array_size(list) <= 16);
  for (size_t i = 0; i < json_array_size(list); i++)
    ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
  check_decoded(o, ids, json_array_size(list), json_array_get(c, 1), c);
}

static void run_fixture(const char *name) {
  json_t *root = fixture_json(name, "json");
  const json_t *list = json_object_get(root, "tokenizers"), *tokenizer, *c;
  size_t i, k, refused = 0, all = 0;
  json_array_foreach(list, i, tokenizer) {
    one o;
    open_one(&o, json_object_get(tokenizer, "fields"), root);
    json_array_foreach(json_object_get(tokenizer, "cases"), k, c) {
      check_case(&o, c, &refused);
      all++;
    }
    json_array_foreach(json_object_get(tokenizer, "decodes"), k, c) check_decode(&o, c);
    close_one(&o);
  }
  assert_true(all > 800 && refused > 5 && refused < all / 10);
  json_decref(root);
}

static void test_equal_to_library(void **state) {
  run_fixture("pairs");
  run_fixture("bert");
}

/* Ids of the texts by themselves, put together: the tokens and types of the pair. */
static void assembled(one *o, const json_t *c) {
  const json_t *b = json_array_get(c, 1);
  cz_encoding out = {0}, first = {0}, second = {0};
  cz_encode_options bare = {0}, special = {.add_special = true};
  bool pair = !json_is_null(b);
  const json_t *a = json_array_get(c, 0);
  OK(cz_tokenizer_encode(o->t, &first, json_string_value(a), json_string_length(a), bare,
                         o->scratch));
  if (pair)
    OK(cz_tokenizer_encode(o->t, &second, json_string_value(b), json_string_length(b), bare,
                           o->scratch));
  OK(encode(o, c, special));
  OK(cz_tokenizer_assemble(o->t, &out, first.ids, first.n, second.ids, second.n, pair));
  assert_int_equal(out.n, o->e.n);
  assert_int_equal(out.n, first.n + second.n + cz_tokenizer_added(o->t, pair));
  if (out.n) assert_memory_equal(out.ids, o->e.ids, out.n * sizeof *out.ids);
  if (out.n) assert_memory_equal(out.types, o->e.types, out.n * sizeof *out.types);
  for (size_t i = 0; i < first.n; i++) assert_int_equal(out.ids[out.begin[0] + i], first.ids[i]);
  for (size_t i = 0; i < second.n; i++) assert_int_equal(out.ids[out.begin[1] + i], second.ids[i]);
  if (!pair) assert_int_equal(out.begin[1], out.n);
  for (size_t i = 0; i < out.n; i++) assert_int_equal(out.offsets[i].end, 0);
  cz_encoding_free(&out);
  cz_encoding_free(&first);
  cz_encoding_free(&second);
}

static void test_assemble(void **state) {
  json_t *root = fixture_json("pairs", "json");
  const json_t *tokenizer, *c;
  size_t i, k;
  json_array_foreach(json_object_get(root, "tokenizers"), i, tokenizer) {
    one o;
    open_one(&o, json_object_get(tokenizer, "fields"), root);
    json_array_foreach(json_object_get(tokenizer, "cases"), k, c) assembled(&o, c);
    close_one(&o);
  }
  json_decref(root);
}

#define SPECIALS                                                                                   \
  "\"special_tokens\":{\"x\":{\"id\":\"x\",\"ids\":[1],\"tokens\":[\"x\"]},\"y\":{\"id\":\"y\","   \
  "\"ids\":[7],\"tokens\":[\"y\"]}}"
#define TEXT(letter) "{\"Sequence\":{\"id\":\"" letter "\",\"type_id\":0}}"
#define ADDED(name)  "{\"SpecialToken\":{\"id\":\"" name "\",\"type_id\":0}}"
#define TEMPLATE(single, pair)                                                                     \
  "{\"type\":\"TemplateProcessing\",\"single\":[" single "],\"pair\":[" pair "]," SPECIALS "}"
#define BERT "{\"type\":\"BertProcessing\",\"sep\":[\"a\",1],\"cls\":[\"b\",2]}"

static cz_status parse(cz_tokenizer **t, const char *post, const char *truncation) {
  cz_buf json = {0};
  OK(cz_buf_addf(&json,
                 "{\"version\":\"1.0\",\"truncation\":%s,\"added_tokens\":[],\"post_processor\":%s,"
                 "\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0],[\"a\",-1],"
                 "[\"b\",-2]]}}",
                 truncation, post));
  cz_status st = cz_tokenizer_parse(t, json.data, json.len, "file.json");
  cz_buf_free(&json);
  return st;
}

static void test_mistakes(void **state) {
  static const struct {
    const char *post, *truncation, *words;
  } cases[] = {
      {"7", "null", "post_processor: expected an object with a type"},
      {"{\"type\":\"Byte\"}", "null",
       "the post-processor 'Byte' is not supported; there are Sequence, TemplateProcessing, "
       "BertProcessing, RobertaProcessing, ByteLevel"},
      {"{\"type\":\"ByteLevel\"}", "null", "post_processor.add_prefix_space"},
      {"{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":1}", "null",
       "post_processor.trim_offsets"},
      {"{\"type\":\"BertProcessing\",\"sep\":[\"a\",1]}", "null", "post_processor.cls"},
      {"{\"type\":\"BertProcessing\",\"sep\":[\"a\"],\"cls\":[\"a\",1]}", "null",
       "post_processor.sep: expected [token, id]"},
      {"{\"type\":\"BertProcessing\",\"sep\":[\"a\",-1],\"cls\":[\"a\",1]}", "null",
       "post_processor.sep: expected [token, id], found -1"},
      {"{\"type\":\"BertProcessing\",\"sep\":[\"a\",3],\"cls\":[\"a\",1]}", "null",
       "id 3 is not one of the tokenizer's 3"},
      {"{\"type\":\"RobertaProcessing\",\"sep\":[\"a\",1],\"cls\":[\"a\",1]}", "null",
       "post_processor.trim_offsets"},
      {TEMPLATE(TEXT("C"), ""), "null", "post_processor.single[0].Sequence.id: expected A or B"},
      {TEMPLATE(TEXT("B"), ""), "null", "'B' in a template for one text"},
      {TEMPLATE("7", ""), "null", "single[0]: expected a Sequence or a SpecialToken"},
      {TEMPLATE("", ADDED("z")), "null", "pair[0].SpecialToken: 'z' is not among the"},
      {TEMPLATE("", ADDED("y")), "null", "id 7 is not one of the tokenizer's 3"},
      {"{\"type\":\"Sequence\",\"processors\":[" BERT "," BERT "]}", "null",
       "two post-processors that add tokens; the second is BertProcessing"},
      {"null", "7", "truncation: expected an object"},
      {"null", "{\"max_length\":-1,\"stride\":0,\"strategy\":\"LongestFirst\"}",
       "truncation.max_length"},
      {"null", "{\"max_length\":1,\"stride\":0,\"strategy\":\"LongestLast\"}",
       "truncation.strategy"},
      {"null", "{\"max_length\":1,\"stride\":0,\"strategy\":\"OnlyFirst\",\"direction\":\"Up\"}",
       "truncation.direction"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    cz_tokenizer *t;
    cz_status st = parse(&t, cases[i].post, cases[i].truncation);
    if (st != CZ_EINVAL || !strstr(cz_error_message(), cases[i].words))
      fail_msg("case %zu: status %d, '%s' does not say '%s'", i, (int)st, cz_error_message(),
               cases[i].words);
  }
}

static void encodes(const char *post, const char *truncation, const char *a, const char *b,
                    const char *why) {
  cz_tokenizer *t;
  cz_tokenizer_scratch *s;
  cz_encoding e = {0};
  cz_encode_options o = {.add_special = true, .truncate = true};
  OK(parse(&t, post, truncation));
  OK(cz_tokenizer_scratch_create(&s, t));
  cz_status st = b ? cz_tokenizer_encode_pair(t, &e, a, strlen(a), b, strlen(b), o, s)
                   : cz_tokenizer_encode(t, &e, a, strlen(a), o, s);
  if (why) {
    FAILS(st, CZ_EINVAL, why);
    assert_int_equal(e.n, 0);
  } else {
    OK(st);
  }
  cz_encoding_free(&e);
  cz_tokenizer_scratch_destroy(&s);
  cz_tokenizer_destroy(&t);
}

static void test_refused_texts(void **state) {
  static const char second[] = "{\"max_length\":4,\"stride\":0,\"strategy\":\"OnlySecond\"}",
                    tiny[] = "{\"max_length\":1,\"stride\":0,\"strategy\":\"LongestFirst\"}";
  encodes(TEMPLATE(TEXT("A"), TEXT("A")), "null", "a", "b", "no place for the second of two");
  encodes(TEMPLATE(TEXT("A"), TEXT("B")), "null", "a", "b", "no place for the first of two");
  encodes(TEMPLATE(TEXT("A"), TEXT("B")), "null", "a", NULL, NULL);
  encodes(BERT, tiny, "a", NULL, "to 1 tokens leaves no room for 2 special ones");
  encodes(BERT, second, "aaaa", NULL, "OnlySecond and there is one text");
  encodes(BERT, second, "aa", "b",
          "to cut 2 tokens, but the second text, which alone may be cut, has 1");
  encodes(BERT, "null", "a\xff", "b", "the first text is not UTF-8: byte 0xff at offset 1");
  encodes(BERT, "null", "a", "\xc3", "the second text is not UTF-8: byte 0xc3 at offset 0");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_equal_to_library), cmocka_unit_test(test_assemble),
      cmocka_unit_test(test_mistakes), cmocka_unit_test(test_refused_texts)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
