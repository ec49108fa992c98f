/* Texts of one use, as they are put together (examples.h). */
#include "few_shot/examples.h"

#include <stdlib.h>

/** An empty SET of texts of E with ROOM for so many, from the file PATH; LABELLED: it is to have
 * labels. Its texts are destroyed with cz_prompt_texts_destroy, the rest lies in the arena of E. */
cz_status cz_text_set_create(cz_text_set *set, const cz_examples *e, const char *path, size_t room,
                             bool labelled) {
  *set = (cz_text_set){.path = path, .labelled = labelled};
  CZ_TRY(cz_arena_alloc(e->arena, &set->records, room, sizeof *set->records));
  CZ_TRY(cz_arena_alloc(e->arena, &set->hashes, room, sizeof *set->hashes));
  CZ_TRY(cz_arena_alloc(e->arena, &set->labels, room, sizeof *set->labels));
  CZ_TRY(cz_prompt_texts_create(&set->texts, e->prompts));
  set->texts->path = path;
  return CZ_OK;
}

/* Each pattern has masks for what text I is answered with, and it has an answer for each label, or
 * candidates; of who reads patterns. */
static cz_status check_answers(const cz_prompt_texts *texts, size_t i) {
  const cz_prompts *p = texts->prompts;
  int32_t *room;
  cz_status st = CZ_OK;
  if ((!p->file->choices && !p->file->candidates) || !p->items) return CZ_OK;
  CZ_TRY(cz_alloc(&room, cz_prompt_answer_count(texts, i) * CZ_PATTERN_MASKS, sizeof *room));
  for (size_t k = 0; k < p->file->n_patterns && st == CZ_OK; k++)
    st = cz_prompt_answers(room, p, &p->items[k], texts, i);
  free(room);
  return st;
}

/** Appends RECORD, which is borrowed, with HASH and the class LABEL, -1 for none; there is room.
 * CZ_EINVAL, with the file, as cz_prompt_texts_add and cz_prompt_answers. */
cz_status cz_text_set_add(cz_text_set *set, const cz_record *record, uint64_t hash, int32_t label) {
  set->records[set->n] = record;
  set->hashes[set->n] = hash;
  set->labels[set->n++] = label;
  if (label < 0) set->labelled = false;
  CZ_TRY(cz_prompt_texts_add(set->texts, record));
  return check_answers(set->texts, set->texts->n - 1);
}
