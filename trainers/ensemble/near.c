#include "ensemble/near.h"
#include "base/hash.h"
#include "base/utf8.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

enum {
  WORDS = 3,      /* of a shingle */
  LONGEST = 1024, /* words of a text that are read */
  BANDS = 32,
  ROWS = 4, /* minimum hashes of a band */
  MINIMA = BANDS * ROWS,
  COMPARED = 4 /* texts of a band that a new one is compared with */
};

/* The Jaccard index from which on two texts are near-duplicates: 7 / 10. */
enum { SHARED = 7, OF = 10 };

typedef struct shingles {
  uint64_t *hashes; /* [n] ascending, each once */
  size_t n;
} shingles;

/* A text under the key of one of its bands. */
typedef struct slot {
  uint64_t key; /* 0: free */
  size_t text;
} slot;

struct cz_near {
  uint64_t seeds[MINIMA];
  cz_arena *arena; /* of the shingles */
  shingles *texts;
  size_t n, cap;
  slot *slots; /* open addressing; a key may stand in several */
  size_t used, room;
  uint64_t words[LONGEST + 1], sorted[LONGEST + 1]; /* of the text that is being added */
};

/** Makes an empty set whose minimum hashes are those of SEED; cz_near_destroy frees it. */
cz_status cz_near_create(cz_near **near, uint64_t seed) {
  CZ_TRY(cz_alloc(near, 1, sizeof **near));
  for (uint64_t i = 0; i < MINIMA; i++) (*near)->seeds[i] = cz_hash64(&i, sizeof i, seed);
  cz_status st = cz_arena_create(&(*near)->arena, "near-duplicates");
  if (st != CZ_OK) cz_near_destroy(near);
  return st;
}

/** Frees the set and clears *NEAR; null is legal. */
void cz_near_destroy(cz_near **near) {
  if (!*near) return;
  cz_arena_destroy(&(*near)->arena);
  free((*near)->texts);
  free((*near)->slots);
  free(*near);
  *near = NULL;
}

/* The word at *AT in lower case as a hash; false at the end. */
static bool next_word(uint64_t *hash, const char **at) {
  size_t length, n = 0;
  while (**at && !cz_unicode_is_word(cz_utf8_next(*at, &length))) *at += length;
  *hash = 0;
  while (**at) {
    uint32_t c = cz_utf8_next(*at, &length), lower[2] = {0};
    if (!cz_unicode_is_word(c)) break;
    cz_unicode_lower(c, lower);
    *hash = cz_hash64(lower, sizeof lower, *hash);
    *at += length;
    n++;
  }
  return n > 0;
}

static int ascending(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

/* Fields follow one another; a shingle may span two. In near->sorted; returns how many. */
static size_t read_shingles(cz_near *near, const char *const *fields, size_t n_fields) {
  size_t n = 0, kept = 0, runs;
  for (size_t f = 0; f < n_fields; f++)
    for (const char *at = fields[f]; n < LONGEST && next_word(&near->words[n], &at);) n++;
  runs = n > WORDS ? n - WORDS + 1 : 1; /* without a word, the empty run */
  for (size_t i = 0; i < runs; i++)
    near->sorted[i] = cz_hash64(near->words + i, (n < WORDS ? n : WORDS) * sizeof *near->words, 0);
  qsort(near->sorted, runs, sizeof *near->sorted, ascending);
  for (size_t i = 0; i < runs; i++)
    if (!kept || near->sorted[i] != near->sorted[kept - 1]) near->sorted[kept++] = near->sorted[i];
  return kept;
}

/* Whether |A and B| / |A or B| is large enough, in whole numbers. */
static bool are_near(const uint64_t *a, size_t n, const shingles *b) {
  size_t both = 0;
  for (size_t i = 0, k = 0; i < n && k < b->n;) {
    uint64_t x = a[i], y = b->hashes[k];
    both += x == y;
    i += x <= y;
    k += y <= x;
  }
  return both * OF >= (n + b->n - both) * SHARED;
}

/* KEYS [BANDS] of the shingles in near->sorted. */
static void keys_of(uint64_t *keys, const cz_near *near, size_t n) {
  for (size_t b = 0; b < BANDS; b++) {
    uint64_t minima[ROWS + 1] = {[ROWS] = b};
    for (size_t r = 0; r < ROWS; r++) {
      uint64_t seed = near->seeds[b * ROWS + r], least = UINT64_MAX;
      for (size_t i = 0; i < n; i++) {
        uint64_t h = (near->sorted[i] ^ seed) * 0x9e3779b97f4a7c15u;
        h = (h ^ h >> 32) * 0xd6e8feb86659fd93u;
        h ^= h >> 32;
        if (h < least) least = h;
      }
      minima[r] = least;
    }
    keys[b] = cz_hash64(minima, sizeof minima, 0);
    if (!keys[b]) keys[b] = 1;
  }
}

static void put(slot *slots, size_t room, slot s) {
  size_t at = (size_t)s.key & (room - 1);
  while (slots[at].key) at = (at + 1) & (room - 1);
  slots[at] = s;
}

static cz_status make_room(cz_near *near) {
  if (2 * (near->used + BANDS) <= near->room) return CZ_OK;
  size_t room = near->room ? 2 * near->room : 1 << 12;
  slot *slots;
  CZ_TRY(cz_alloc(&slots, room, sizeof *slots));
  for (size_t i = 0; i < near->room; i++)
    if (near->slots[i].key) put(slots, room, near->slots[i]);
  free(near->slots);
  near->slots = slots;
  near->room = room;
  return CZ_OK;
}

/* How many texts stand under KEY, and whether one of them is near. */
static size_t look_up(bool *found, const cz_near *near, uint64_t key, size_t n) {
  size_t under = 0;
  for (size_t at = (size_t)key & (near->room - 1); near->room && near->slots[at].key && !*found;
       at = (at + 1) & (near->room - 1)) {
    if (near->slots[at].key != key) continue;
    under++;
    *found = are_near(near->sorted, n, &near->texts[near->slots[at].text]);
  }
  return under;
}

/** Adds the text of FIELDS [n_fields], UTF-8 that was checked, unless it is a near-duplicate of one
 * that was added before; *ADDED says which. The texts may go afterwards. */
cz_status cz_near_add(cz_near *near, bool *added, const char *const *fields, size_t n_fields) {
  uint64_t keys[BANDS];
  size_t n = read_shingles(near, fields, n_fields), under[BANDS];
  bool found = false;
  keys_of(keys, near, n);
  for (size_t b = 0; b < BANDS && !found; b++) under[b] = look_up(&found, near, keys[b], n);
  *added = !found;
  if (found) return CZ_OK;
  CZ_TRY(make_room(near));
  CZ_TRY(cz_grow(&near->texts, &near->cap, near->n + 1, sizeof *near->texts));
  shingles *s = &near->texts[near->n];
  CZ_TRY(cz_arena_alloc(near->arena, &s->hashes, n, sizeof *s->hashes));
  memcpy(s->hashes, near->sorted, n * sizeof *s->hashes);
  s->n = n;
  for (size_t b = 0; b < BANDS; b++) {
    if (under[b] >= COMPARED) continue;
    put(near->slots, near->room, (slot){keys[b], near->n});
    near->used++;
  }
  near->n++;
  return CZ_OK;
}
