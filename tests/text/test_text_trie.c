/* The double array against a plain list, on random keys over a small alphabet, so that
 * prefixes abound. */
#include "text/common.h"

#include "text/trie.h"

#include <stdlib.h>
#include <string.h>

enum { KEYS = 400, LONGEST = 9 };

typedef struct key_set {
  char bytes[KEYS][LONGEST];
  size_t n[KEYS], count;
} key_set;

static void random_key(draws *d, char *bytes, size_t *n) {
  static const char alphabet[] = {0, 1, 'a', 'b', (char)0x80, (char)0xff};
  *n = draw(d, LONGEST + 1);
  for (size_t i = 0; i < *n; i++) bytes[i] = alphabet[draw(d, sizeof alphabet)];
}

static int32_t find_plainly(const key_set *s, const char *bytes, size_t n) {
  for (size_t i = s->count; i-- > 0;) /* of equal keys the last counts */
    if (s->n[i] == n && memcmp(s->bytes[i], bytes, n) == 0) return (int32_t)i;
  return -1;
}

static int32_t longest_plainly(const key_set *s, const char *bytes, size_t n, size_t *length) {
  for (*length = n; *length > 0; --*length) {
    int32_t value = find_plainly(s, bytes, *length);
    if (value >= 0) return value;
  }
  return -1;
}

static void check_set(draws *d, key_set *s) {
  cz__trie trie;
  cz__trie_key keys[KEYS];
  for (size_t i = 0; i < s->count; i++) {
    random_key(d, s->bytes[i], &s->n[i]);
    keys[i] = (cz__trie_key){s->bytes[i], s->n[i], (int32_t)i};
  }
  OK(cz__trie_build(&trie, keys, s->count));
  for (size_t i = 0; i < s->count; i++)
    assert_int_equal(cz__trie_find(&trie, s->bytes[i], s->n[i]),
                     find_plainly(s, s->bytes[i], s->n[i]));
  for (int i = 0; i < 500; i++) {
    char text[LONGEST];
    size_t n, got = 0, want = 0;
    random_key(d, text, &n);
    assert_int_equal(cz__trie_find(&trie, text, n), find_plainly(s, text, n));
    int32_t value = longest_plainly(s, text, n, &want);
    assert_int_equal(cz__trie_longest(&trie, 0, text, n, &got), value);
    if (value >= 0) assert_int_equal(got, want);
  }
  cz__trie_free(&trie);
}

static void test_random_sets(void **state) {
  draws d = draws_begin("trie");
  key_set *s = malloc(sizeof *s);
  for (int round = 0; round < 60; round++) {
    s->count = round < 3 ? (size_t)round : 1 + draw(&d, KEYS);
    check_set(&d, s);
  }
  free(s);
}

/* A key of a megabyte must not exhaust the stack. */
static void test_long_key(void **state) {
  size_t n = 1 << 20;
  char *text = malloc(n);
  memset(text, 'a', n);
  cz__trie trie;
  cz__trie_key keys[] = {{text, n, 7}, {text, 3, 5}};
  OK(cz__trie_build(&trie, keys, 2));
  assert_int_equal(cz__trie_find(&trie, text, n), 7);
  assert_int_equal(cz__trie_find(&trie, text, n - 1), -1);
  assert_int_equal(cz__trie_find(&trie, text, 3), 5);
  cz__trie_free(&trie);
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_sets),
                                     cmocka_unit_test(test_long_key)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
