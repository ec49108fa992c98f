/* Which members' models stay on the disk (key `keep`). Of a member that is done its scores always
 * stay, and its checkpoints never: with hundreds of members of base size a table would leave a
 * hundred gigabytes.
 *
 *   FOLDER/members/p2-r1/model   a Hugging Face folder
 *
 * Under `best` every member writes its model before its scores, and whoever finishes one removes
 * those that are beaten: at no time are there more than one and one for each process. */
#ifndef CZ_FEW_SHOT_KEEP_H
#define CZ_FEW_SHOT_KEEP_H

#include "few_shot/member.h"

typedef enum cz_keep { CZ_KEEP_LOGITS, CZ_KEEP_BEST, CZ_KEEP_ALL } cz_keep;

/* Their spellings: logits, best, all; null-terminated. */
extern const char *const cz_keep_names[];

CZ_MUST cz_status cz_member_model_folder(char *out, size_t n, const char *stage,
                                         const cz_member_plan *plan);
CZ_MUST cz_status cz_keep_best(const cz_examples *e, const char *stage, const cz_member_plan *plans,
                               size_t n, size_t *best);

#endif
