#include "objectives/objective.h"
#include "base/nearest.h"

#include <stdlib.h>
#include <string.h>

#define CZ_OBJECTIVE(name) extern const cz_objective_row cz_objective_##name;
#include "objectives/objectives.def"
#undef CZ_OBJECTIVE

const cz_objective_row *const cz_objective_rows[] = {
#define CZ_OBJECTIVE(name) &cz_objective_##name,
#include "objectives/objectives.def"
#undef CZ_OBJECTIVE
};

const size_t cz_objective_count = sizeof cz_objective_rows / sizeof *cz_objective_rows;

const char *const cz_fidelity_names[] = {"paper", "code", "corrected", NULL};
const char *const cz_concatenate_names[] = {"code", "yes", "no", NULL};

/** The row called NAME. CZ_EUSAGE with the nearest spelling, or all names, when there is
 * none. */
cz_status cz_objective_find(const cz_objective_row **row, const char *name) {
  enum { MAXIMUM = 64 };
  const char *names[MAXIMUM];
  CZ_CHECK(cz_objective_count <= MAXIMUM);
  size_t i;
  for (i = 0; i < cz_objective_count; i++) names[i] = cz_objective_rows[i]->name;
  CZ_TRY(cz_find_name(&i, "objective", name, names, cz_objective_count));
  *row = cz_objective_rows[i];
  return CZ_OK;
}

static cz_status check_vocabulary(const cz_objective_row *row, const cz_vocabulary *v) {
  const int32_t special[] = {v->eos, v->cls, v->sep, v->mask};
  for (size_t i = 0; i < sizeof special / sizeof *special; i++)
    if (v->size < 4 || special[i] >= v->size)
      return CZ_FAIL(
          CZ_EINVAL,
          "a vocabulary of %d tokens with EOS %d, [CLS] %d, [SEP] %d and [MASK] %d can't "
          "carry an objective",
          v->size, v->eos, v->cls, v->sep, v->mask);
  if (row->form != CZ_FORM_TEXT_TO_TEXT) return CZ_OK; /* its solve says what it needs */
  return cz_need_token(row, v->eos, "an end-of-sequence token behind inputs and targets");
}

/** CZ_EUSAGE when the vocabulary lacks a token of a role that ROW needs, WHAT: ID is
 * negative. */
cz_status cz_need_token(const cz_objective_row *row, int32_t id, const char *what) {
  if (id >= 0) return CZ_OK;
  return CZ_FAIL(CZ_EUSAGE, "%s needs %s; the tokenizer names none", row->name, what);
}

/** Configures O: copies CONFIG and VOCABULARY and derives how the corpus is cut and the
 * caps. CZ_EUSAGE when they can't work together (no room for a token and EOS, no EOS, too
 * few sentinels). There is nothing to free. */
cz_status cz_objective_init(cz_objective *o, const cz_objective_row *row,
                            const cz_objective_config *config, const cz_vocabulary *vocabulary) {
  CZ_TRY(check_vocabulary(row, vocabulary));
  *o = (cz_objective){.row = row,
                      .config = *config,
                      .vocabulary = *vocabulary,
                      .cut = {.chunk_tokens = 65536, .group_documents = 128}};
  CZ_TRY(row->solve(o));
  if (config->concatenate != CZ_CONCATENATE_CODE)
    o->cut.concatenate = config->concatenate == CZ_CONCATENATE_YES;
  return CZ_OK;
}

/** Fills OUT with what the objective makes of PIECE; an empty piece gives an empty
 * example. The same piece gives the same example in any order. */
cz_status cz_objective_apply(const cz_objective *o, cz_example *out, const cz_piece *piece) {
  return o->row->corrupt(o, piece, out);
}

/** Mean tokens of inputs and targets, EOS included, over PIECES pieces of the raw length
 * that the reader cuts for this objective. */
cz_status cz_objective_mean_lengths(const cz_objective *o, double *inputs, double *targets,
                                    int64_t pieces) {
  int64_t n = o->cut.piece_tokens;
  int32_t *ids;
  CZ_TRY(cz_alloc(&ids, (size_t)n, sizeof *ids));
  cz_example e = {0};
  cz_status st = CZ_OK;
  int64_t in = 0, out = 0;
  for (int64_t i = 0; i < pieces && st == CZ_OK; i++) {
    const cz_piece piece = {.ids = ids, .n = n, .index = (uint32_t)i, .other = ids, .n_other = n};
    st = cz_objective_apply(o, &e, &piece);
    in += (int64_t)e.inputs.len;
    out += (int64_t)e.targets.len;
  }
  cz_example_free(&e);
  *inputs = (double)in / (double)pieces;
  *targets = (double)out / (double)pieces;
  free(ids);
  return st;
}
