#include "text/vocab.h"

#include <stdlib.h>
#include <string.h>

/* One piece and its id, which nobody else may have. */
static cz_status add_piece(cz__vocab *v, cz_arena *arena, const char *piece, size_t length,
                           const json_t *id, const cz_json_place *at) {
  json_int_t i = json_integer_value(id);
  char *copy;
  if (!json_is_integer(id)) return cz_json_expected(at, piece, id, "an id");
  if (i < 0 || i >= v->size)
    return cz_json_fail(at, NULL, "'%s' has id %lld, but %d pieces have the ids 0 to %d", piece,
                        (long long)i, (int)v->size, (int)v->size - 1);
  if (v->pieces[i])
    return cz_json_fail(at, NULL, "'%s' and '%s' both have id %lld", v->pieces[i], piece,
                        (long long)i);
  CZ_TRY(cz__copy_bytes(&copy, arena, piece, length));
  v->pieces[i] = copy;
  v->lengths[i] = length;
  return CZ_OK;
}

static cz_status build_trie(cz__vocab *v) {
  cz__trie_key *keys;
  CZ_TRY(cz_alloc(&keys, (size_t)v->size, sizeof *keys));
  for (int32_t i = 0; i < v->size; i++) keys[i] = (cz__trie_key){v->pieces[i], v->lengths[i], i};
  cz_status st = cz__trie_build(&v->trie, keys, (size_t)v->size);
  free(keys);
  return st;
}

/** Reads `vocab` of the model O. Release with cz__vocab_release, also after a failure. CZ_EINVAL
 * names a piece whose id another one has, or that leaves a gap. */
cz_status cz__vocab_parse(cz__vocab *v, cz_arena *arena, const json_t *o, const cz_json_place *at) {
  json_t *vocab = json_object_get(o, "vocab");
  cz_json_place here = cz_json_place_key(at, "vocab");
  if (!json_is_object(vocab)) return cz_json_expected(at, "vocab", vocab, "an object {piece: id}");
  size_t n = json_object_size(vocab);
  if (n == 0 || n > INT32_MAX / 2) return cz_json_fail(at, "vocab", "%zu pieces", n);
  v->size = (int32_t)n;
  CZ_TRY(cz_arena_alloc(arena, &v->pieces, n, sizeof *v->pieces));
  CZ_TRY(cz_arena_alloc(arena, &v->lengths, n, sizeof *v->lengths));
  for (void *i = json_object_iter(vocab); i; i = json_object_iter_next(vocab, i)) {
    const char *piece = json_object_iter_key(i);
    CZ_TRY(
        add_piece(v, arena, piece, json_object_iter_key_len(i), json_object_iter_value(i), &here));
  }
  return build_trie(v);
}

/** Frees the trie. */
void cz__vocab_release(cz__vocab *v) { cz__trie_free(&v->trie); }
