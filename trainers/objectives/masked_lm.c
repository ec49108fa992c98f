/* Masked language modelling (Devlin et al. 2019, section 3.1; without next sentence, masks
 * drawn anew each epoch: Liu et al. 2019, sections 4.1 and 4.2): a piece between the tokens
 * that stand around a text, of which some are masked (masking.h). For bidirectional stacks. */
#include "objectives/keys.h"
#include "objectives/masking.h"

enum { AROUND = 2 };

static const cz_key_spec keys[] = {CZ_KEY_INPUTS_LENGTH("special tokens"),
                                   CZ_KEY_DENSITY("0.15", 0, 1), CZ_KEYS_MASKING,
                                   CZ_KEY_CONCATENATE("not joined")};

static cz_status solve(cz_objective *o) {
  CZ_TRY(cz_masking_check(o));
  o->inputs_cap = o->config.inputs_length;
  o->cut.piece_tokens = o->inputs_cap - AROUND;
  o->cut.concatenate = false;
  return CZ_OK;
}

static cz_status corrupt(const void *self, const cz_piece *piece, cz_example *out) {
  const cz_objective *o = self;
  const cz_masking masking = cz_masking_of(o);
  const int64_t room = o->inputs_cap - AROUND;
  cz_example_clear(out);
  if (!piece->n) return CZ_OK;
  CZ_TRY(cz_ids_add(&out->inputs, o->vocabulary.cls));
  CZ_TRY(cz_ids_append(&out->inputs, piece->ids, piece->n < room ? piece->n : room));
  CZ_TRY(cz_ids_add(&out->inputs, o->vocabulary.sep));
  return cz_mask_example(&masking, out, piece->epoch, piece->index);
}

const cz_objective_row cz_objective_masked_lm = {
    .name = "masked_lm",
    .help = "reads the piece with some tokens masked, replaced or kept, predicts those in place; "
            "for bidirectional stacks",
    .form = CZ_FORM_MASKED,
    .section = CZ_SECTION("objective", "masked language modelling", keys),
    .solve = solve,
    .corrupt = corrupt,
};
